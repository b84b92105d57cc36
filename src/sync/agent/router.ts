// What comes by the connection of an agent, to the module that it is for.

import { TokenBucket } from '../../base/token-bucket.js';
import { decodeMessage, SyncFormatError } from '../wire/codec.js';
import type { EndAck, ReqRet, StartAck } from '../wire/messages.js';
import type { Log, LogCode, LogLevel } from './results.js';
import type { AgentSession } from './session.js';

/** A module as its connection sees it. */
export interface AgentPort {
  readonly module: string;
  /** That is under way. */
  readonly session: () => AgentSession | undefined;
  readonly log: Log;
  /** The connection has room. */
  readonly drained: () => void;
  /** The connection is over. */
  readonly lost: () => void;
}

/** So many lines about what the manager sent are written in a second; the others are only counted. */
const linesPerSecond = 20;
/** Starts whose answers are told apart by their order alone. */
const maxOrdered = 1024;
/** Sessions whose late answers are known for such. */
const maxEarlier = 256;

/** Counts of what a manager sent. */
export interface RouterStats {
  /** Messages that are none. */
  readonly malformed: number;
  /** Messages of a type that agents do not take, or that have no place at that moment. */
  readonly unexpected: number;
  /** Messages of sessions that this agent never had, or of which it has had many others since. */
  readonly wrongSession: number;
}

/** The modules of one agent. */
export class AgentRouter {
  readonly #ports: Map<string, AgentPort> = new Map();
  readonly #nowMs: () => number;
  readonly #log: Log;
  readonly #lines: TokenBucket;
  readonly #stats = { malformed: 0, unexpected: 0, wrongSession: 0 };
  /** The nonces of the Starts that no StartAck has come for, for managers that do not repeat them. */
  #ordered: bigint[] = [];
  /** The last sessions, in the order in which they began. */
  readonly #earlier = new Set<bigint>();

  /** @param log for what is of no module; `Waits`' clock. */
  constructor(nowMs: () => number, log: Log) {
    this.#nowMs = nowMs;
    this.#log = log;
    this.#lines = new TokenBucket(linesPerSecond, linesPerSecond, nowMs());
  }

  get stats(): RouterStats {
    return { ...this.#stats };
  }

  get ports(): IterableIterator<AgentPort> {
    return this.#ports.values();
  }

  /** @returns false when there is a module of that name. */
  add(port: AgentPort): boolean {
    if (this.#ports.has(port.module)) return false;
    this.#ports.set(port.module, port);
    return true;
  }

  /** @returns whether it was there. */
  remove(port: AgentPort): boolean {
    return this.#ports.get(port.module) === port && this.#ports.delete(port.module);
  }

  /** A Start was sent; each copy counts. */
  startSent(nonce: bigint): void {
    if (this.#ordered.length === maxOrdered) this.#ordered.shift();
    this.#ordered.push(nonce);
  }

  /** There is room in the connection again. */
  drained(): void {
    for (const port of this.#ports.values()) port.drained();
  }

  /** The connection is over. */
  lost(): void {
    this.#ordered = [];
    for (const port of this.#ports.values()) port.lost();
  }

  /**
   * Takes a message of the manager.
   *
   * @param bytes a view that is valid during the call.
   * @returns whether it is a message that managers send; if not, it was logged and ignored (source document, "Protocol Errors").
   */
  message(bytes: Uint8Array): boolean {
    const message = this.#decoded(bytes);
    if (message === undefined) return false;
    switch (message.type) {
      case 'StartAck':
        this.#startAck(message);
        return true;
      case 'EndAck':
      case 'ReqRet':
        this.#answer(message);
        return true;
      default:
        ++this.#stats.unexpected;
        this.#line('warning', 'Unexpected', `a message of the type ${message.type} is not for agents`);
        return false;
    }
  }

  #decoded(bytes: Uint8Array): ReturnType<typeof decodeMessage> | undefined {
    try {
      return decodeMessage(bytes);
    } catch (error) {
      if (!(error instanceof SyncFormatError)) throw error;
      ++this.#stats.malformed;
      this.#line('error', 'Malformed', `what came is no message: ${error.message}`);
      return undefined;
    }
  }

  #startAck(ack: StartAck): void {
    const nonce = ack.nonce === 0n ? this.#ordered.shift() : ack.nonce;
    if (ack.nonce !== 0n) this.#forget(ack.nonce);
    const session = this.#find((each) => each.nonce === nonce);
    if (session === undefined) {
      this.#line('debug', 'Late', 'a StartAck that nothing waits for is ignored');
    } else if (
      ack.status === 'Ok' &&
      this.#find((each) => each !== session && each.session === ack.session)
    ) {
      ++this.#stats.wrongSession;
      this.#line('error', 'WrongSession', 'a StartAck with the session of another module is ignored');
    } else {
      session.startAck(ack);
      if (session.session !== undefined) this.#remember(session.session);
    }
  }

  #remember(session: bigint): void {
    this.#earlier.delete(session);
    this.#earlier.add(session);
    const [oldest] = this.#earlier;
    if (this.#earlier.size > maxEarlier && oldest !== undefined) this.#earlier.delete(oldest);
  }

  /** One answer to as many Starts as were sent is enough. */
  #forget(nonce: bigint): void {
    const at = this.#ordered.indexOf(nonce);
    if (at !== -1) this.#ordered.splice(at, 1);
  }

  #answer(message: EndAck | ReqRet): void {
    const session = this.#find((each) => each.session === message.session);
    if (session !== undefined) {
      if (message.type === 'EndAck') session.endAck(message);
      else session.reqRet(message);
      return;
    }
    const text = `${message.type} of session ${message.session} is ignored`;
    if (this.#earlier.has(message.session)) {
      this.#line('debug', 'Late', `${text}: it is over`);
      return;
    }
    ++this.#stats.wrongSession;
    this.#line('error', 'WrongSession', `${text}: it is no session of this agent`);
  }

  #find(matches: (session: AgentSession) => boolean): AgentSession | undefined {
    for (const port of this.#ports.values()) {
      const session = port.session();
      if (session !== undefined && matches(session)) return session;
    }
    return undefined;
  }

  /** For each module that has a session, as it may be about that; for the client alone when none has. */
  #line(level: LogLevel, code: LogCode, message: string): void {
    if (!this.#lines.take(1, this.#nowMs())) return;
    let isTold = false;
    for (const port of this.#ports.values()) {
      if (port.session() === undefined) continue;
      port.log(level, code, message);
      isTold = true;
    }
    if (!isTold) this.#log(level, code, message);
  }
}
