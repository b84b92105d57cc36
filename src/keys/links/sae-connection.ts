// An SAE's connection to a peer, which is kept: it connects again after each loss.

import { EventEmitter } from 'node:events';
import { argumentError, checkFunction, checkOptions, checkText, describe } from '../../base/check.js';
import {
  ConnectionManager,
  type ManagerState,
  passOn,
  type ReconnectionOptions,
} from '../../base/connection-manager.js';
import { Departure } from '../../base/departure.js';
import { HawserError } from '../../base/errors.js';
import { isolateRejections } from '../../base/isolate.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import { messageLimits } from '../wire/messages.js';
import type { SaeAcceptor } from './over-hawser.js';

/** Options of {@link SaeConnection}. */
export interface SaeConnectionOptions {
  /** The SAE that the connection is for. */
  readonly sae: SaeAcceptor;
  /** To whom the connector connects. */
  readonly peerSaeId: string;
  /** Makes each connection: `keysConnector`, or one of your own. */
  readonly connector: Connector;
  /** When and how often it connects anew; always, by default. */
  readonly reconnection?: ReconnectionOptions<MessageConnection>;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter is taken from; {@link systemRandom} by default. */
  readonly random?: Random;
}

/** The events of a {@link SaeConnection} with the arguments of their listeners. */
export interface SaeConnectionEvents {
  /** The state of the connection is another. */
  stateChange: [from: ManagerState, to: ManagerState];
  /** The connection is there, first or again. */
  connected: [];
  /** The connection is over, for that reason; undefined when either side closed it. */
  disconnected: [reason: unknown];
  /** An attempt to connect anew follows in so many milliseconds: the first (1), second ... since the delays began anew. */
  reconnecting: [attempt: number, delayMs: number];
  /** An attempt failed. `attempt` is that of `reconnecting`, and 0 for the first one. */
  attemptFailed: [error: unknown, attempt: number];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

const optionNames = ['sae', 'peerSaeId', 'connector', 'reconnection', 'wheel', 'random'] as const;
/**
 * After a connection whose place another took: to connect again at once would end that one, and so on for ever; never to, would let whoever has
 * a token part two SAEs for good by connecting once.
 */
const replacedSpreadMs = 120_000;

/** Keeps the connection of an SAE to the gateway of its peer, and makes it again after each loss. */
export class SaeConnection extends EventEmitter<SaeConnectionEvents> implements AsyncDisposable {
  readonly #sae: SaeAcceptor;
  readonly #peerSaeId: string;
  readonly #connector: Connector;
  readonly #manager: ConnectionManager<MessageConnection>;
  readonly #departure: Departure;

  static {
    isolateRejections(SaeConnection.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: SaeConnectionOptions) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    const { sae, wheel = systemWheel(), random = systemRandom } = options;
    if (typeof sae?.accept !== 'function') throw argumentError('sae', 'a Sae', describe(sae));
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#sae = sae;
    this.#peerSaeId = checkText('peerSaeId', options.peerSaeId, messageLimits.idBytes);
    this.#connector = checkFunction('connector', options.connector);
    const { reconnectAfter = () => true, ...reconnection } = options.reconnection ?? {};
    checkFunction('reconnectAfter', reconnectAfter);
    this.#manager = new ConnectionManager({
      ...reconnection,
      reconnectAfter: (reason) => !isFinal(reason) && reconnectAfter(reason),
      connect: (signal) => this.#open(signal),
      release: (connection) => connection.close('released'),
      clock: wheel.clock,
      random,
    });
    this.#departure = new Departure(wheel, random, {
      spread: (spreadMs) => this.#manager.spreadNextAttempt(spreadMs),
      leave: () => this.#manager.notifyConnectionLost(undefined),
      // Whatever is under way goes on by the next connection.
      mustStay: () => false,
    });
    this.#manager.on('stateChange', (from) => {
      if (from === 'CONNECTED') this.#departure.cancel();
    });
    passOn(this.#manager, this);
  }

  /** Where it stands now. */
  get state(): ManagerState {
    return this.#manager.state;
  }

  /**
   * Begins to connect, and keeps trying; events tell how it goes.
   *
   * @throws HawserError ERR_HAWSER_CLOSED after `close`; ERR_HAWSER_ALREADY_CONNECTED when there is a connection, or one is being made.
   */
  connect(): void {
    if (this.state === 'CLOSED') throw new HawserError('ERR_HAWSER_CLOSED', 'the connection is closed');
    if (this.state !== 'DISCONNECTED') {
      throw new HawserError('ERR_HAWSER_ALREADY_CONNECTED', `it is ${this.state} already`);
    }
    // What became of the first attempt is told by `attemptFailed` too.
    this.#manager.connect().catch(() => undefined);
  }

  /** Ends the connection, for good. Closing twice is closing once. */
  async close(): Promise<void> {
    this.#manager.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(signal: AbortSignal): Promise<MessageConnection> {
    let connection: MessageConnection | undefined;
    await this.#connector((made) => {
      connection = made;
      return this.#receiver(made);
    }, signal);
    if (connection !== undefined) return connection;
    throw argumentError('connector', 'a function that calls attach', 'one that does not');
  }

  #receiver(connection: MessageConnection): MessageReceiver {
    const own = this.#sae.accept(connection, this.#peerSaeId);
    return {
      message: (message) => own.message(message),
      drained: () => own.drained(),
      farewell: (farewell) => {
        if (connection === this.#manager.handle) this.#departure.plan(farewell);
      },
      closed: (error) => {
        own.closed(error);
        if (error?.code === 'ERR_HAWSER_REPLACED') this.#manager.spreadNextAttempt(replacedSpreadMs);
        this.#manager.notifyConnectionLost(error, connection);
      },
    };
  }
}

/** Another attempt would meet the same: a wrong argument, or an SAE that is closed. */
function isFinal(reason: unknown): boolean {
  return (
    reason instanceof HawserError &&
    (reason.code === 'ERR_HAWSER_ARGUMENT' || reason.code === 'ERR_HAWSER_CLOSED')
  );
}
