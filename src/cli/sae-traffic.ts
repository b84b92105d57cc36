// Messages beside those of keys, over the same connection, so that a demonstration can tell whether any was lost or late while keys changed.

import type { KeysChannels } from '../keys/links/over-hawser.js';
import { type Channel, reliable } from '../transport/channels.js';
import { bytes } from '../transport/codecs.js';
import type { Connection } from '../transport/connection.js';
import type { Peer } from '../transport/peer.js';
import type { Server } from '../transport/server.js';
import { pause } from './signals.js';

const messageBytes = 64;
/** A number of the message. */
const headBytes = 8;
const tickMs = 5;
/** More is not made up for after a stall. */
const mostPerTick = 1000;

/** What both sides declare that have traffic. */
export type TrafficChannels = { readonly traffic: Channel<Uint8Array, 'reliable'> };

/** Beside those of keys. */
export type SaeChannels = KeysChannels & TrafficChannels;

export const trafficChannels: TrafficChannels = {
  traffic: reliable(bytes(), { maxMessageBytes: messageBytes }),
};

/** How it stands, at the side that sends. */
export interface TrafficStatus {
  readonly sent: number;
  /** That came back. */
  readonly echoed: number;
  /** Of connections that ended before they came back. */
  readonly lost: number;
  /** That came back before their turn, or twice. */
  readonly misordered: number;
  /** The longest time between two that came back, in milliseconds. */
  readonly longestGapMs: number;
}

/** Sends numbered messages at an even pace over one connection at a time, and counts what comes back. */
export class SaeTraffic {
  readonly #perSecond: number;
  #connection: Connection<SaeChannels> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #tickedAtMs = 0;
  /** Of a message that is not due yet: less than 1. */
  #due = 0;
  #blocked = false;
  #sent = 0;
  #echoed = 0;
  #lost = 0;
  #misordered = 0;
  #longestGapMs = 0;
  #echoedAtMs: number | undefined;

  /** @param perSecond 0 for a side that only sends back what comes. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  get status(): TrafficStatus {
    return {
      sent: this.#sent,
      echoed: this.#echoed,
      lost: this.#lost,
      misordered: this.#misordered,
      longestGapMs: this.#longestGapMs,
    };
  }

  /** Sends back what peers of a server send. */
  serve(server: Server<SaeChannels>): void {
    server.on('message', (peer: Peer<SaeChannels>, message, channel) => {
      if (channel === 'traffic') peer.send('traffic', message);
    });
  }

  /** Uses this connection from now on. */
  attach(connection: Connection<SaeChannels>): void {
    this.#connection = connection;
    this.#blocked = false;
    connection.on('message', (message, channel) => {
      if (channel === 'traffic') this.#receive(message);
    });
    connection.on('drain', () => {
      this.#blocked = false;
    });
    connection.on('disconnect', () => this.#detach(connection));
    if (this.#perSecond > 0) this.#start();
  }

  /** Sends no more, and waits for what is on its way, at most so long. */
  async finish(timeoutMs: number): Promise<void> {
    this.#stop();
    const signal = AbortSignal.timeout(timeoutMs);
    while (this.#waiting > 0 && !signal.aborted) await pause(tickMs, signal);
  }

  close(): void {
    this.#stop();
    this.#connection = undefined;
  }

  get #waiting(): number {
    return this.#sent - this.#echoed - this.#lost;
  }

  #start(): void {
    if (this.#timer !== undefined) return;
    this.#tickedAtMs = performance.now();
    this.#echoedAtMs = undefined;
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#echoedAtMs = undefined;
  }

  #detach(connection: Connection<SaeChannels>): void {
    if (this.#connection !== connection) return;
    this.#stop();
    this.#connection = undefined;
    this.#lost += this.#waiting;
  }

  #tick(): void {
    const now = performance.now();
    this.#due = Math.min(mostPerTick, this.#due + ((now - this.#tickedAtMs) * this.#perSecond) / 1000);
    this.#tickedAtMs = now;
    for (; this.#due >= 1 && !this.#blocked && this.#connection?.connected === true; --this.#due) {
      const message = Buffer.alloc(messageBytes);
      message.writeBigUInt64LE(BigInt(this.#sent));
      this.#blocked = !this.#connection.send('traffic', message);
      ++this.#sent;
    }
  }

  #receive(message: Uint8Array): void {
    const now = performance.now();
    if (this.#echoedAtMs !== undefined) {
      this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#echoedAtMs);
    }
    if (this.#timer !== undefined) this.#echoedAtMs = now;
    const expected = this.#echoed + this.#lost;
    const number = message.length < headBytes ? -1 : Number(Buffer.from(message).readBigUInt64LE());
    if (number !== expected) ++this.#misordered;
    else ++this.#echoed;
  }
}
