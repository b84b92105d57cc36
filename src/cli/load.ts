// Simulated peers over real sockets: each with a token, keys, clock and, on this machine, a source address of its own.

import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { HawserError } from '../base/errors.js';
import { Client } from '../transport/client.js';
import type { Connection } from '../transport/connection.js';
import type { ClientOptions } from '../transport/options.js';
import { UsageError } from './errors.js';
import { type Latency, LatencyHistogram } from './latency.js';
import type { SizeRange } from './options.js';
import { sourceAddress } from './source-address.js';
import { dropsByReason, type ProcessStatus, processStatus } from './status.js';
import { isLoopbackToken, type TokenFactory, wireOf } from './tokens.js';
import { connectFailure, longestMessageBytes } from './wires.js';

/** What a message begins with: u32 peer, u32 sequence, f64 time of sending in milliseconds, in the byte order of this machine. */
export const messageHeaderBytes = 16;

/** Handshakes under way at a time: more would only wait in the gateway's queue of 512. */
const handshakesAtOnce = 512;

/** After the last message, how long its echo may take before it counts as lost. */
export const graceMs = 1000;

/** Messages that one timer may send when it is late, so that echoes are read in between. */
const burst = 4096;

const recentMs = 1000;

export interface LoadOptions {
  readonly peers: number;
  /** Messages per second of each peer. */
  readonly rate: number;
  readonly size: SizeRange;
  readonly sockets: number;
  /** Of each socket. */
  readonly driver: Pick<ClientOptions, 'driver' | 'spinMicros'>;
  readonly connectTimeoutMs: number;
  readonly tokens: TokenFactory;
  /** Client ids count up from here. */
  readonly firstClientId: bigint;
}

/** How far the peers are. */
export type LoadPhase = 'connecting' | 'ready' | 'sending' | 'finished';

/** Totals of a load. */
export interface LoadStatus extends ProcessStatus {
  readonly phase: LoadPhase;
  readonly requested: number;
  /** Attempts that have ended, well or not. */
  readonly tried: number;
  /** Attempts that ended well; some of these may have ended since. */
  readonly connected: number;
  /** Connections that ended before they were asked to. */
  readonly disconnected: number;
  /** Why attempts failed and connections ended, by error code or result. */
  readonly failures: Readonly<Record<string, number>>;
  readonly connectSeconds: number;
  readonly sent: number;
  readonly echoed: number;
  readonly rttMicros: Latency;
  /** Of the last second. */
  readonly recentRttMicros: Latency;
  /** What this side dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>;
}

interface LoadPeer {
  readonly index: number;
  readonly connection: Connection;
  sent: number;
}

function tooFewSockets(): UsageError {
  return new UsageError(
    '--sockets: netcode tells connections apart by their addresses alone, and here peers have no source addresses of their own: give --sockets as many as --peers',
  );
}

export class Load {
  readonly #options: LoadOptions;
  readonly #clients: readonly Client[];
  readonly #localAddresses: boolean;
  readonly #firstToken: Uint8Array | string;
  readonly #peers: LoadPeer[] = [];
  readonly #failures: Record<string, number> = {};
  readonly #rtt = new LatencyHistogram();
  readonly #recentRtt = new LatencyHistogram();
  /** The content of every message, and views of its first bytes by size. */
  readonly #message = new Uint8Array(longestMessageBytes);
  readonly #views: Uint8Array[] = [];
  readonly #outWords = new Uint32Array(this.#message.buffer, 0, 2);
  readonly #outTime = new Float64Array(this.#message.buffer, 8, 1);
  readonly #inBytes = new Uint8Array(messageHeaderBytes);
  readonly #inWords = new Uint32Array(this.#inBytes.buffer, 0, 2);
  readonly #inTime = new Float64Array(this.#inBytes.buffer, 8, 1);
  #phase: LoadPhase = 'connecting';
  #nextIndex = 0;
  #tried = 0;
  #disconnected = 0;
  #connectMs = 0;
  #sent = 0;
  #echoed = 0;
  #recent: Latency = { p50: 0, p90: 0, p99: 0, max: 0 };
  #recentSince = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  #due = 0;
  #onAllEchoed: (() => void) | undefined;
  readonly #gone = new AbortController();

  /**
   * Opens the sockets and gets the first token, which tells where the gateway is.
   *
   * @throws UsageError when the peers cannot be told apart; whatever `tokens` and `Client.open` throw.
   */
  static async open(options: LoadOptions): Promise<Load> {
    const firstToken = await options.tokens(options.firstClientId);
    // Any address of 127.0.0.0/8 is this machine's own on Linux only.
    const localAddresses = process.platform === 'linux' && isLoopbackToken(firstToken);
    const sockets = Math.min(options.sockets, options.peers);
    if (wireOf(firstToken) === 'netcode' && !localAddresses && sockets < options.peers) throw tooFewSockets();
    const clients: Client[] = [];
    try {
      for (let index = 0; index < sockets; ++index) {
        clients.push(
          await Client.open({
            maxConnections: Math.ceil(options.peers / sockets),
            ...options.driver,
            ...(localAddresses ? { address: '0.0.0.0:0' } : {}),
          }),
        );
      }
    } catch (error) {
      await Promise.all(clients.map((client) => client.close()));
      throw error;
    }
    return new Load(options, clients, localAddresses, firstToken);
  }

  private constructor(
    options: LoadOptions,
    clients: readonly Client[],
    localAddresses: boolean,
    firstToken: Uint8Array | string,
  ) {
    this.#options = options;
    this.#clients = clients;
    this.#localAddresses = localAddresses;
    this.#firstToken = firstToken;
  }

  /** Aborted when the last peer has been disconnected. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  // ---- Connecting --------------------------------------------------------------------------------------------------

  /**
   * Connects peers until there were `total` attempts, as fast as they complete. An attempt that fails is counted and not repeated.
   *
   * @param signal aborts the attempts under way.
   */
  async connect(total: number, signal?: AbortSignal): Promise<void> {
    const started = performance.now();
    const end = Math.min(total, this.#options.peers);
    // Every attempt under way listens to it.
    if (signal !== undefined) setMaxListeners(handshakesAtOnce + 1, signal);
    const worker = async (): Promise<void> => {
      while (this.#nextIndex < end && !signal?.aborted) await this.#connectOne(this.#nextIndex++, signal);
    };
    await Promise.all(Array.from({ length: Math.min(handshakesAtOnce, end) }, worker));
    this.#connectMs += performance.now() - started;
    if (this.#tried === this.#options.peers) this.#phase = 'ready';
  }

  async #connectOne(index: number, signal: AbortSignal | undefined): Promise<void> {
    const { tokens, firstClientId, connectTimeoutMs } = this.#options;
    try {
      const clientId = BigInt.asUintN(64, firstClientId + BigInt(index));
      const token = index === 0 ? this.#firstToken : await tokens(clientId);
      const client = this.#clients[index % this.#clients.length];
      const connection = await client?.connect(token, {
        timeoutMs: connectTimeoutMs,
        reconnectOnReset: false,
        ...(this.#localAddresses ? { localAddress: sourceAddress(index) } : {}),
        ...(signal === undefined ? {} : { signal }),
      });
      if (connection !== undefined) this.#adopt(index, connection);
    } catch (error) {
      if (!(error instanceof HawserError)) throw error;
      this.#count(connectFailure(error));
    }
    ++this.#tried;
  }

  #adopt(index: number, connection: Connection): void {
    const peer: LoadPeer = { index, connection, sent: 0 };
    this.#peers.push(peer);
    connection.on('message', (data) => this.#receive(peer, data));
    connection.on('goaway', () => void connection.close(0, 'the gateway asked for it'));
    connection.on('disconnect', ({ result, reason }) => {
      if (this.#phase === 'finished') return;
      ++this.#disconnected;
      this.#count(reason === '' ? `connection ended: ${result}` : `connection ended: ${result} (${reason})`);
      if (this.#disconnected === this.#peers.length) this.#gone.abort();
    });
  }

  #count(failure: string): void {
    this.#failures[failure] = (this.#failures[failure] ?? 0) + 1;
  }

  // ---- Sending -----------------------------------------------------------------------------------------------------

  /** Begins to send: the messages of all peers together are spread evenly over time. */
  start(): void {
    this.#phase = 'sending';
    this.#startedAt = performance.now();
    this.#due = 0;
    this.#timer = setInterval(() => this.#tick(), 1);
  }

  #tick(): void {
    const perMs = (this.#peers.length * this.#options.rate) / 1000;
    const due = Math.floor((performance.now() - this.#startedAt) * perMs);
    // Late by more than a second: this machine cannot send at that rate, and what was missed is not made up.
    this.#due = Math.max(this.#due, due - Math.ceil(1000 * perMs));
    const end = Math.min(due, this.#due + burst);
    for (; this.#due < end; ++this.#due) {
      const peer = this.#peers[this.#due % this.#peers.length];
      // false: the way out is full; the rest waits for the next tick.
      if (peer?.connection.connected && !this.#send(peer)) return;
    }
  }

  #send(peer: LoadPeer): boolean {
    const { min, max } = this.#options.size;
    const size = min + Math.floor(Math.random() * (max - min + 1));
    this.#views[size] ??= this.#message.subarray(0, size);
    this.#outWords[0] = peer.index;
    this.#outWords[1] = peer.sent;
    this.#outTime[0] = performance.now();
    ++peer.sent;
    ++this.#sent;
    return peer.connection.send(this.#views[size]);
  }

  #receive(peer: LoadPeer, data: Uint8Array): void {
    if (data.length < messageHeaderBytes) return;
    for (let index = 0; index < messageHeaderBytes; ++index) this.#inBytes[index] = data[index] ?? 0;
    // Anything but what this peer has sent is no echo: a handler may send of its own accord.
    if (this.#inWords[0] !== peer.index || (this.#inWords[1] ?? 0) >= peer.sent) return;
    const micros = (performance.now() - (this.#inTime[0] ?? 0)) * 1000;
    this.#rtt.record(micros);
    this.#recentRtt.record(micros);
    ++this.#echoed;
    if (this.#echoed === this.#sent) this.#onAllEchoed?.();
  }

  /** Stops sending. The echoes of what was sent last still come. */
  pause(): void {
    clearInterval(this.#timer);
  }

  /** Stops sending and waits until all echoes have come, or a second has passed. */
  async finish(): Promise<void> {
    this.pause();
    if (this.#echoed < this.#sent) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onAllEchoed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#phase = 'finished';
  }

  /** Disconnects every peer and closes the sockets. */
  async close(): Promise<void> {
    this.pause();
    this.#phase = 'finished';
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  status(): LoadStatus {
    const now = performance.now();
    if (now - this.#recentSince >= recentMs) {
      this.#recent = this.#recentRtt.latency();
      this.#recentRtt.reset();
      this.#recentSince = now;
    }
    return {
      ...processStatus(),
      phase: this.#phase,
      requested: this.#options.peers,
      tried: this.#tried,
      connected: this.#peers.length,
      disconnected: this.#disconnected,
      failures: { ...this.#failures },
      connectSeconds: this.#connectMs / 1000,
      sent: this.#sent,
      echoed: this.#echoed,
      rttMicros: this.#rtt.latency(),
      recentRttMicros: this.#recent,
      drops: this.#drops(),
    };
  }

  /** What this side dropped, all sockets together. */
  #drops(): Record<string, number> {
    const total: Record<string, number> = {};
    for (const client of this.#clients) {
      for (const [reason, drops] of Object.entries(dropsByReason(client.stats))) {
        total[reason] = (total[reason] ?? 0) + drops;
      }
    }
    return total;
  }
}
