// A client with a valid token that breaks the spirit of the protocol, not its letter: it offers any credit, acknowledges what it likes and
// sends any frames. Built on the independent implementation of test/reference.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Bytes } from '../reference/bytes.js';
import { ReferenceClient } from '../reference/endpoints.js';
import { type AckRange, decodeFrames, type Frame, isAcknowledged } from '../reference/frames.js';
import { feature, type Limits, ready } from '../reference/hawser1.js';
import { gatewayChannels } from './attack.js';

const resendMs = 100;
const pingMs = 1000;
/** ACK ranges of one frame (docs/protocol.md section 6). */
const maxRanges = 32;

export interface HostileOptions {
  readonly token: Uint8Array;
  readonly limits?: Limits;
  /** Whether a packet with these frames is acknowledged; all are by default. */
  readonly acknowledges?: (frames: readonly Frame[]) => boolean;
  /** 127.0.0.1 by default. */
  readonly localAddress?: string;
}

export class HostilePeer {
  readonly socket: Socket;
  readonly client: ReferenceClient;
  /** DISCONNECT code of the gateway, once there was one. */
  disconnectCode: number | undefined;
  packets = 0;
  readonly #options: HostileOptions;
  readonly #ranges: { smallest: bigint; largest: bigint }[] = [];
  readonly #timers: NodeJS.Timeout[] = [];

  private constructor(options: HostileOptions, socket: Socket) {
    this.#options = options;
    this.socket = socket;
    this.client = new ReferenceClient({
      token: options.token,
      features: feature.channels,
      channels: gatewayChannels,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      sendDatagram: (datagram, to) => socket.send(datagram, to.port, to.host),
    });
  }

  static async connect(options: HostileOptions): Promise<HostilePeer> {
    await ready;
    const socket = createSocket('udp4');
    socket.bind(0, options.localAddress ?? '127.0.0.1');
    await once(socket, 'listening');
    const peer = new HostilePeer(options, socket);
    await peer.#connect();
    return peer;
  }

  async #connect(): Promise<void> {
    const connected = new Promise<void>((resolve) => {
      this.socket.on('message', (datagram, from) => {
        if (this.#isConnected()) return this.#receive(datagram);
        this.client.receive(datagram, { host: from.address, port: from.port });
        if (this.#isConnected()) resolve();
      });
    });
    this.client.start();
    const resending = setInterval(() => this.client.resend(), resendMs);
    await connected;
    clearInterval(resending);
    let sequence = 1000;
    this.#timers.push(
      setInterval(() => this.send([{ type: 'PING', sequence: sequence++ & 0xffff }]), pingMs),
    );
  }

  #isConnected(): boolean {
    return this.client.state === 'CONNECTED';
  }

  /** Connection id that packets to the gateway carry. */
  get gatewayId(): Bytes {
    const [first] = this.client.session?.peerIds.values() ?? [];
    if (first === undefined) throw new Error('not connected');
    return first.id;
  }

  /** Sends one packet with exactly these frames. */
  send(frames: readonly Frame[]): void {
    if (this.disconnectCode === undefined) this.client.session?.sendUntracked(frames);
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.socket.close();
  }

  #receive(datagram: Uint8Array): void {
    const opened = this.client.session?.open(datagram);
    if (opened === undefined) return;
    ++this.packets;
    const frames = decodeFrames(opened.plaintext);
    const answer: Frame[] = [];
    for (const frame of frames) {
      if (frame.type === 'DISCONNECT') this.disconnectCode ??= frame.code;
      if (frame.type === 'PING')
        answer.push({
          type: 'PONG',
          sequence: frame.sequence,
          receiveTime: process.hrtime.bigint() / 1000n,
          delay: 0,
        });
    }
    const acknowledges = this.#options.acknowledges ?? (() => true);
    if (frames.some(isAcknowledged) && acknowledges(frames)) {
      this.#note(opened.number);
      answer.push({ type: 'ACK', delay: 0n, ranges: this.#acknowledged() });
    }
    if (answer.length > 0) this.send(answer);
  }

  #note(number: bigint): void {
    const last = this.#ranges.at(-1);
    if (last !== undefined && number === last.largest + 1n) last.largest = number;
    else this.#ranges.push({ smallest: number, largest: number });
  }

  #acknowledged(): AckRange[] {
    const sorted = this.#ranges.slice(-4 * maxRanges).toSorted((a, b) => (a.largest > b.largest ? -1 : 1));
    const ranges: { smallest: bigint; largest: bigint }[] = [];
    for (const { smallest, largest } of sorted) {
      const last = ranges.at(-1);
      if (last !== undefined && largest + 1n >= last.smallest) {
        if (smallest < last.smallest) last.smallest = smallest;
      } else {
        ranges.push({ smallest, largest });
      }
    }
    return ranges.slice(0, maxRanges);
  }
}
