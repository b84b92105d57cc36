// An agent's connection to its manager, which is kept: it connects again after each loss. The modules of the agent share it.

import { EventEmitter } from 'node:events';
import { argumentError, checkFunction, checkOptions, describe } from '../../base/check.js';
import {
  ConnectionManager,
  type ManagedConnectOptions,
  type ManagerState,
  passOn,
  type ReconnectionOptions,
} from '../../base/connection-manager.js';
import { Departure } from '../../base/departure.js';
import { HawserError } from '../../base/errors.js';
import { guard, isolateRejections } from '../../base/isolate.js';
import type {
  Connector,
  Farewell,
  MessageConnection,
  MessageReceiver,
} from '../../base/message-connection.js';
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import { type AgentHost, SyncAgent } from './agent.js';
import type { SyncAgentOptions } from './options.js';
import type { LogCode, LogLevel } from './results.js';
import { AgentRouter, type RouterStats } from './router.js';

/** Options of {@link SyncClient}. */
export interface SyncClientOptions {
  /** Makes each of its connections: `syncConnector`, or one of your own. */
  readonly connector: Connector;
  /** When and how often it connects anew; always, by default. */
  readonly reconnection?: ReconnectionOptions<MessageConnection>;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter is taken from; {@link systemRandom} by default. */
  readonly random?: Random;
}

/** The events of a {@link SyncClient} with the arguments of their listeners. */
export interface SyncClientEvents {
  /** The state of the connection is another. */
  stateChange: [from: ManagerState, to: ManagerState];
  /** There is a connection. */
  connected: [];
  /** The connection is over, for that reason; undefined when either side closed it. Syncs that were under way have ended. */
  disconnected: [reason: unknown];
  /** An attempt to connect anew follows in so many milliseconds: the first (1), second ... since the delays began anew. */
  reconnecting: [attempt: number, delayMs: number];
  /** An attempt failed. `attempt` is that of `reconnecting`, and 0 for the first one of `connect`. */
  attemptFailed: [error: unknown, attempt: number];
  /**
   * The other side ends the connection, or will: then the client leaves before, when no sync is under way or four fifths of the time have
   * passed, and connects anew.
   */
  farewell: [farewell: Farewell];
  /** A line of the log: those of all modules, and those of none, whose `module` is undefined. */
  log: [level: LogLevel, code: LogCode, message: string, module: string | undefined];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

const optionNames = ['connector', 'reconnection', 'wheel', 'random'] as const;

/** Keeps one connection to a manager, for any number of modules. */
export class SyncClient extends EventEmitter<SyncClientEvents> implements AsyncDisposable {
  readonly #connector: Connector;
  readonly #manager: ConnectionManager<MessageConnection>;
  readonly #departure: Departure;
  readonly #router: AgentRouter;
  readonly #host: AgentHost;
  readonly #agents = new Map<string, SyncAgent>();
  /** To connect again would end the connection that took the place of the last one, and so on for ever. */
  #isReplaced = false;

  static {
    isolateRejections(SyncClient.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: SyncClientOptions) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    const { wheel = systemWheel(), random = systemRandom } = options;
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#connector = checkFunction('connector', options.connector);
    const { reconnectAfter = () => true, ...reconnection } = options.reconnection ?? {};
    checkFunction('reconnectAfter', reconnectAfter);
    this.#manager = new ConnectionManager({
      ...reconnection,
      reconnectAfter: (reason) => !this.#isReplaced && !isArgumentError(reason) && reconnectAfter(reason),
      connect: (signal) => this.#open(signal),
      release: (connection) => connection.close('released'),
      clock: wheel.clock,
      random,
    });
    this.#departure = new Departure(wheel, random, {
      spread: (spreadMs) => this.#manager.spreadNextAttempt(spreadMs),
      leave: () => this.#manager.notifyConnectionLost(undefined),
      mustStay: () => [...this.#router.ports].some((port) => port.session() !== undefined),
    });
    this.#router = new AgentRouter(
      () => wheel.clock.now(),
      (level, code, message) => this.#log(level, code, message, undefined),
    );
    this.#host = {
      wheel,
      random,
      connection: () => this.#manager.handle,
      startSent: (nonce) => this.#router.startSent(nonce),
      log: (level, code, message, module) => this.#log(level, code, message, module),
      closed: (port) => {
        if (this.#router.remove(port)) this.#agents.delete(port.module);
      },
    };
    this.#manager.on('stateChange', (from) => {
      if (from !== 'CONNECTED') return;
      this.#departure.cancel();
      this.#router.lost();
    });
    passOn(this.#manager, this);
  }

  /** Where the connection is. */
  get state(): ManagerState {
    return this.#manager.state;
  }

  /** What managers sent that is no answer to anything. */
  get stats(): RouterStats {
    return this.#router.stats;
  }

  /**
   * Connects: tries at once and, unless `reconnection` says otherwise, again and again until an attempt succeeds.
   *
   * @param options `signal` gives up, as `disconnect` does.
   * @returns a promise that resolves once there is a connection.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_CLOSED after `close`; ERR_HAWSER_ALREADY_CONNECTED when there is a
   * connection, or one is being made; ERR_HAWSER_ABORTED when `disconnect`, `close` or the signal ended it. And what the last attempt failed
   * with, when `reconnection` allows no other.
   */
  async connect(options?: ManagedConnectOptions): Promise<void> {
    this.#isReplaced = false;
    await this.#manager.connect(options);
  }

  /** Ends the connection, and stops connecting; `connect` may be called again. Syncs that are under way end as after a loss. */
  disconnect(): void {
    this.#manager.disconnect();
  }

  /**
   * As `disconnect`, and for good: all its agents are closed. Queues stay open.
   *
   * @returns a promise that resolves once all syncs have ended; it never rejects. Closing twice is closing once.
   */
  async close(): Promise<void> {
    const closed = [...this.#agents.values()].map((agent) => agent.close());
    await Promise.all(closed);
    this.#manager.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Makes the agent of one module. It may be made, and asked to keep differences, before there is a connection.
   *
   * @param options `module` must be given; see {@link SyncAgentOptions} for the ranges.
   * @returns the agent, which belongs to this client until one of them is closed.
   * @throws HawserError ERR_HAWSER_ARGUMENT, also when there is one of that name that is not closed; ERR_HAWSER_CLOSED.
   */
  agent(options: SyncAgentOptions): SyncAgent {
    if (this.state === 'CLOSED') throw new HawserError('ERR_HAWSER_CLOSED', 'the client is closed');
    const agent = new SyncAgent(this.#host, options, (port) => {
      if (this.#router.add(port)) return;
      throw argumentError('module', 'that of no other agent of the client', describe(port.module));
    });
    this.#agents.set(agent.module, agent);
    return agent;
  }

  // ---- The connection ----------------------------------------------------------------------------------------------

  async #open(signal: AbortSignal): Promise<MessageConnection> {
    let connection: MessageConnection | undefined;
    await this.#connector((link) => {
      connection = link;
      return this.#receiver(link);
    }, signal);
    if (connection !== undefined) return connection;
    throw argumentError('connector', 'a function that calls attach', 'one that does not');
  }

  #receiver(connection: MessageConnection): MessageReceiver {
    const isCurrent = (): boolean => this.#manager.handle === connection;
    return {
      message: (bytes) => {
        if (isCurrent()) this.#router.message(bytes);
      },
      unreliableMessage: (bytes) => {
        if (isCurrent()) this.#router.message(bytes);
      },
      drained: () => {
        if (isCurrent()) this.#router.drained();
      },
      farewell: (farewell) => {
        if (isCurrent()) this.#departure.plan(farewell);
        guard(this, 'farewell', () => this.emit('farewell', farewell));
      },
      closed: (error) => {
        this.#isReplaced ||= error?.code === 'ERR_HAWSER_REPLACED';
        this.#manager.notifyConnectionLost(error, connection);
      },
    };
  }

  #log(level: LogLevel, code: LogCode, message: string, module: string | undefined): void {
    guard(this, 'log', () => this.emit('log', level, code, message, module));
  }
}

/** Another attempt would meet the same. */
function isArgumentError(reason: unknown): boolean {
  return reason instanceof HawserError && reason.code === 'ERR_HAWSER_ARGUMENT';
}
