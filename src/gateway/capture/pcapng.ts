// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), as many as a capture needs. All integers are little-endian, which the section
// header says.

/** `LINKTYPE_RAW`: packets begin with their IP header, of version 4 or 6. */
export const linkTypeRaw = 101;
/** `LINKTYPE_WIRESHARK_UPPER_PDU`: tags that name a dissector, then what it dissects. */
export const linkTypeUpperPdu = 252;

const blockTypes = { sectionHeader: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;

/** Numbers of options, for each type of block its own. */
const optionIds = {
  end: 0,
  sectionApplication: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  interfaceResolution: 9,
  packetFlags: 2,
  statisticsStart: 2,
  statisticsEnd: 3,
  statisticsReceived: 4,
  statisticsDropped: 5,
} as const;

const byteOrderMagic = 0x1a2b3c4d;
/** 10^-6 seconds. */
const resolution = 6;
const firstRoomBytes = 64 * 1024;

/** What an interface block says of an interface. */
export interface PcapngInterface {
  readonly name: string;
  readonly description: string;
  readonly linkType: number;
  readonly snapLengthBytes: number;
}

/** What a statistics block says; times are Unix microseconds. */
export interface PcapngStatistics {
  readonly startMicros: number;
  readonly endMicros: number;
  readonly received: number;
  readonly dropped: number;
}

/** Bytes that are written as one. */
export type Parts = readonly Uint8Array[];

/** Writes blocks one behind the other. */
export class PcapngWriter {
  #bytes = new Uint8Array(firstRoomBytes);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;

  /** Begins a section: the first block of a file. */
  sectionHeader(application: string): void {
    this.#block(blockTypes.sectionHeader, () => {
      this.#u32(byteOrderMagic);
      this.#u16(1);
      this.#u16(0);
      // The length of the section is not known.
      this.#u64(0xffff_ffff_ffff_ffffn);
      this.#option(optionIds.sectionApplication, Buffer.from(application));
      this.#u32(optionIds.end);
    });
  }

  /** The interfaces of a section are numbered from 0 in the order in which they are described. */
  interface({ name, description, linkType, snapLengthBytes }: PcapngInterface): void {
    this.#block(blockTypes.interface, () => {
      this.#u16(linkType);
      this.#u16(0);
      this.#u32(snapLengthBytes);
      this.#option(optionIds.interfaceName, Buffer.from(name));
      this.#option(optionIds.interfaceDescription, Buffer.from(description));
      this.#option(optionIds.interfaceResolution, Uint8Array.of(resolution));
      this.#u32(optionIds.end);
    });
  }

  /**
   * One packet.
   *
   * @param missingBytes how many more bytes it had than `parts` have.
   */
  packet(interfaceId: number, unixMicros: number, sent: boolean, parts: Parts, missingBytes: number): void {
    const captured = parts.reduce((sum, { length }) => sum + length, 0);
    this.#block(blockTypes.packet, () => {
      this.#u32(interfaceId);
      this.#time(unixMicros);
      this.#u32(captured);
      this.#u32(captured + missingBytes);
      for (const part of parts) this.#put(part);
      this.#pad();
      this.#u16(optionIds.packetFlags);
      this.#u16(4);
      this.#u32(sent ? 2 : 1);
      this.#u32(optionIds.end);
    });
  }

  /** Counters of an interface so far; of several the last counts. */
  statistics(interfaceId: number, { startMicros, endMicros, received, dropped }: PcapngStatistics): void {
    this.#block(blockTypes.statistics, () => {
      this.#u32(interfaceId);
      this.#time(endMicros);
      for (const [id, micros] of [
        [optionIds.statisticsStart, startMicros],
        [optionIds.statisticsEnd, endMicros],
      ] as const) {
        this.#u16(id);
        this.#u16(8);
        this.#time(micros);
      }
      for (const [id, count] of [
        [optionIds.statisticsReceived, received],
        [optionIds.statisticsDropped, dropped],
      ] as const) {
        this.#u16(id);
        this.#u16(8);
        this.#u64(BigInt(count));
      }
      this.#u32(optionIds.end);
    });
  }

  /** Bytes of blocks that were not taken. */
  get size(): number {
    return this.#used;
  }

  /** A copy of the blocks since the last time; where they were is overwritten. */
  take(): Uint8Array {
    const blocks = this.#bytes.slice(0, this.#used);
    this.wipe();
    return blocks;
  }

  /** Forgets what was not taken. */
  wipe(): void {
    this.#bytes.fill(0, 0, this.#used);
    this.#used = 0;
  }

  #block(type: number, body: () => void): void {
    const start = this.#used;
    this.#u32(type);
    this.#u32(0);
    body();
    this.#u32(0);
    const length = this.#used - start;
    this.#view.setUint32(start + 4, length, true);
    this.#view.setUint32(this.#used - 4, length, true);
  }

  #option(id: number, value: Uint8Array): void {
    this.#u16(id);
    this.#u16(value.length);
    this.#put(value);
    this.#pad();
  }

  /** The upper half of the number first. */
  #time(unixMicros: number): void {
    this.#u32(Math.floor(unixMicros / 2 ** 32));
    this.#u32(unixMicros % 2 ** 32);
  }

  #u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#used, value, true);
    this.#used += 2;
  }

  #u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#used, value, true);
    this.#used += 4;
  }

  #u64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#used, value, true);
    this.#used += 8;
  }

  #put(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** With zeros: what was there before is gone. */
  #pad(): void {
    const bytes = -this.#used & 3;
    this.#reserve(bytes);
    this.#used += bytes;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(2 * (this.#used + bytes));
    grown.set(this.#bytes.subarray(0, this.#used));
    this.#bytes.fill(0);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
