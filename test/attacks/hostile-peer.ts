// A client with a valid token that breaks the spirit of the protocol, not its letter: it offers any credit, acknowledges what it likes and
// sends any frames. Built on the independent implementation of test/reference.

import type { Socket } from 'node:dgram';
import type { Bytes } from '../reference/bytes.js';
import type { ReferenceClient } from '../reference/endpoints.js';
import { type AckRange, decodeFrames, type Frame, isAcknowledged } from '../reference/frames.js';
import { feature, type Limits } from '../reference/hawser1.js';
import { UdpClient } from '../reference/udp-client.js';
import { gatewayChannels } from './attack.js';

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
  readonly #timer: NodeJS.Timeout;

  private constructor(options: HostileOptions, { socket, client }: UdpClient) {
    this.#options = options;
    this.socket = socket;
    this.client = client;
    socket.on('message', (datagram) => this.#receive(datagram));
    let sequence = 1000;
    this.#timer = setInterval(() => this.send([{ type: 'PING', sequence: sequence++ & 0xffff }]), pingMs);
  }

  static async connect(options: HostileOptions): Promise<HostilePeer> {
    const { token, limits, localAddress } = options;
    const udp = await UdpClient.connect(
      { token, features: feature.channels, channels: gatewayChannels, ...(limits && { limits }) },
      localAddress,
    );
    return new HostilePeer(options, udp);
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
    clearInterval(this.#timer);
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
