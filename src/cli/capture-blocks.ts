// The blocks of a capture as they come over the control socket, in pieces of any size: counted, and whole again, so that a file always ends
// with a whole one.

import { HawserError } from '../base/errors.js';

const blockTypes = { statistics: 5, packet: 6 } as const;
const leastBlockBytes = 12;
/** A datagram with its headers is far below. */
const mostBlockBytes = 1024 * 1024;
/** `isb_ifdrop` of draft-ietf-opsawg-pcapng section 4.6. */
const droppedOption = 5;

/** One block. `bytes` is all of it. */
export interface CaptureBlock {
  readonly isPacket: boolean;
  readonly bytes: Buffer;
}

export class CaptureBlocks {
  #rest = Buffer.alloc(0);
  /** By the number of the interface, as the gateway said last. */
  readonly #dropped = new Map<number, number>();

  /** Datagrams and packets that the gateway left out so far. */
  get dropped(): number {
    return [...this.#dropped.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * The blocks that are whole now.
   *
   * @throws HawserError ERR_HAWSER_PROTOCOL for what is no block.
   */
  *push(bytes: Uint8Array): Generator<CaptureBlock> {
    const given = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (given.length - at >= leastBlockBytes) {
      const length = given.readUInt32LE(at + 4);
      if (length < leastBlockBytes || length > mostBlockBytes || length % 4 !== 0) throw noBlock();
      if (given.length - at < length) break;
      const block = given.subarray(at, at + length);
      if (block.readUInt32LE(length - 4) !== length) throw noBlock();
      at += length;
      this.#rest = given.subarray(at);
      const type = block.readUInt32LE(0);
      if (type === blockTypes.statistics) this.#readStatistics(block);
      yield { isPacket: type === blockTypes.packet, bytes: block };
    }
    this.#rest = given.subarray(at);
  }

  #readStatistics(block: Buffer): void {
    const end = block.length - 4;
    // Behind type, length, interface and time.
    let at = 20;
    while (at + 4 <= end) {
      const length = block.readUInt16LE(at + 2);
      if (block.readUInt16LE(at) === droppedOption && length === 8 && at + 12 <= end)
        this.#dropped.set(block.readUInt32LE(8), Number(block.readBigUInt64LE(at + 4)));
      at += 4 + ((length + 3) & ~3);
    }
  }
}

function noBlock(): HawserError {
  return new HawserError('ERR_HAWSER_PROTOCOL', 'the gateway sent something that is no capture');
}
