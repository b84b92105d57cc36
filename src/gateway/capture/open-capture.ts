// Makes a capture of a running gateway: taps the listeners, and writes what they see as pcapng.

import { setTimeout as wait } from 'node:timers/promises';
import { addressToBinary, parseAddress } from '../../base/address.js';
import { argumentError, describe } from '../../base/check.js';
import { ServerTap, type TapAddress, type TappedServer, type TapRecord } from '../../transport/capture.js';
import type { Logger } from '../log/logger.js';
import type { Capture, CaptureOptions } from './capture.js';
import { type CheckedCaptureOptions, checkCaptureOptions } from './capture-options.js';
import { ipHeaders, routeOf } from './ip-headers.js';
import { linkTypeRaw, linkTypeUpperPdu, PcapngWriter } from './pcapng.js';
import { upperPduHeaders } from './upper-pdu.js';

/** A listener of the gateway, by the name that users know. */
export interface CapturedListener {
  readonly name: string;
  readonly server: TappedServer;
}

/** What a capture has to know of the gateway. */
export interface CaptureContext {
  /** Of the package: it stands in the file. */
  readonly version: string;
  readonly log: Logger;
  /** Called once when it has ended. */
  readonly ended?: () => void;
}

/** How long nothing may have come before the taps are looked at again. */
const idleMs = 20;
const statisticsMs = 1000;

/** A listener that is tapped. */
interface Tapped {
  readonly name: string;
  readonly tap: ServerTap;
  readonly bound: TapAddress;
  /** Numbers of its interfaces in the file. */
  readonly datagrams: number;
  readonly packets: number;
  received: number;
}

/**
 * Begins a capture. Records wait in rings of 4 MiB for each thread of a listener; nothing of the gateway waits for the reader.
 *
 * @param listeners of the gateway, all of them.
 * @throws HawserError ERR_HAWSER_ARGUMENT for options that are wrong or a listener that is none, ERR_HAWSER_CAPTURE_BUSY when one of the
 * listeners is captured already, ERR_HAWSER_CLOSED when one has closed.
 */
export function openCapture(
  listeners: readonly CapturedListener[],
  options: CaptureOptions,
  context: CaptureContext,
): Capture {
  const checked = checkCaptureOptions(options);
  const chosen = listeners.filter(({ name }) => checked.listener === undefined || name === checked.listener);
  if (chosen.length === 0) {
    const names = listeners.map(({ name }) => name).join(', ');
    throw argumentError('listener', `one of the gateway's (${names})`, describe(checked.listener));
  }
  return new GatewayCapture(chosen, checked, context);
}

class GatewayCapture implements Capture {
  readonly #tapped: readonly Tapped[];
  readonly #options: CheckedCaptureOptions;
  readonly #log: Logger;
  readonly #ended: () => void;
  readonly #writer = new PcapngWriter();
  readonly #startMicros = Date.now() * 1000;
  readonly #end = new AbortController();
  #iterated = false;
  #over = false;
  #statisticsDueMs = Date.now() + statisticsMs;

  constructor(
    listeners: readonly CapturedListener[],
    options: CheckedCaptureOptions,
    { version, log, ended = () => undefined }: CaptureContext,
  ) {
    this.#options = options;
    this.#log = log;
    this.#ended = ended;
    this.#tapped = tapAll(listeners, options);
    this.#writeHeader(version);
    this.#tell();
  }

  get dropped(): number {
    return this.#tapped.reduce((sum, { tap }) => sum + tap.dropped, 0);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT the second time. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#iterated) throw argumentError('a capture', 'read once', 'a second reader');
    this.#iterated = true;
    return this.#blocks();
  }

  async *#blocks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield this.#writer.take();
      while (!this.#over) {
        // What a listener did until it closed is there before that is seen.
        const closed = this.#tapped.every(({ tap }) => tap.closed);
        const any = this.#read();
        if (!any && closed) break;
        if (Date.now() >= this.#statisticsDueMs) this.#writeStatistics();
        if (this.#writer.size > 0) yield this.#writer.take();
        else await wait(idleMs, undefined, { signal: this.#end.signal }).catch(() => undefined);
      }
      this.#stop();
      this.#writeStatistics();
      yield this.#writer.take();
    } finally {
      this.#stop();
      this.#writer.wipe();
    }
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #stop(): void {
    if (this.#over) return;
    this.#over = true;
    for (const { tap } of this.#tapped) tap.stop();
    this.#end.abort();
    const received = this.#tapped.reduce((sum, listener) => sum + listener.received, 0);
    this.#log.info({ records: received, dropped: this.dropped }, 'the capture has ended');
    this.#ended();
  }

  #tell(): void {
    const { plaintext, snapLengthBytes, address } = this.#options;
    const listeners = this.#tapped.map(({ name }) => name);
    const fields = { listeners, plaintext, snapLengthBytes, ...(address && { address: address.host }) };
    const warning =
      'a capture with plaintext has begun: whoever has it reads what the peers say to this gateway and hear from it';
    if (plaintext) this.#log.warn(fields, warning);
    else this.#log.info(fields, 'a capture has begun');
  }

  #writeHeader(version: string): void {
    const { plaintext, snapLengthBytes } = this.#options;
    this.#writer.sectionHeader(`hawser ${version}`);
    for (const { name, bound } of this.#tapped) {
      const common = { snapLengthBytes: snapLengthBytes + maxHeaderBytes };
      const description = `hawser datagrams of port ${bound.port}`;
      this.#writer.interface({ ...common, name, description, linkType: linkTypeRaw });
      if (!plaintext) continue;
      const packets = {
        name: `${name}-plaintext`,
        description: `hawser packets of port ${bound.port} without their seal`,
      };
      this.#writer.interface({ ...common, ...packets, linkType: linkTypeUpperPdu });
    }
  }

  /** @returns whether there was anything. */
  #read(): boolean {
    let any = false;
    for (const listener of this.#tapped) {
      if (listener.tap.read((record) => this.#write(listener, record))) any = true;
    }
    return any;
  }

  #write(listener: Tapped, record: TapRecord): void {
    // An address that nobody could write down: no driver gives one.
    if (record.remote.family === 0) return;
    ++listener.received;
    const route = routeOf(record, listener.bound);
    const [id, headers] =
      record.kind === 'datagram'
        ? [listener.datagrams, ipHeaders(route, record)]
        : [listener.packets, upperPduHeaders(route, record)];
    const missing = record.lengthBytes - record.bytes.length;
    this.#writer.packet(id, record.unixMicros, record.sent, [headers, record.bytes], missing);
  }

  #writeStatistics(): void {
    const endMicros = Date.now() * 1000;
    this.#statisticsDueMs = Date.now() + statisticsMs;
    for (const { datagrams, received, tap } of this.#tapped) {
      const startMicros = this.#startMicros;
      this.#writer.statistics(datagrams, { startMicros, endMicros, received, dropped: tap.dropped });
    }
  }
}

/** Of IPv6 and UDP, and of the tags of a packet without its seal, whichever is more. */
const maxHeaderBytes = 160;

/** All, or none. */
function tapAll(listeners: readonly CapturedListener[], options: CheckedCaptureOptions): readonly Tapped[] {
  const tapped: Tapped[] = [];
  const interfaces = options.plaintext ? 2 : 1;
  const tapOptions = { ...options, only: options.address };
  try {
    for (const { name, server } of listeners) {
      const datagrams = tapped.length * interfaces;
      const tap = new ServerTap(server, tapOptions);
      tapped.push({ name, tap, bound: boundTo(server), datagrams, packets: datagrams + 1, received: 0 });
    }
  } catch (error) {
    for (const { tap } of tapped) tap.stop();
    throw error;
  }
  return tapped;
}

function boundTo({ address }: TappedServer): TapAddress {
  const parsed = parseAddress(address);
  const binary = addressToBinary(parsed);
  const family = binary[0] ?? 0;
  return { family, ip: binary.subarray(8, family === 2 ? 24 : 12), port: parsed.port };
}
