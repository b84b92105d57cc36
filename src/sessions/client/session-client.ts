// A client's session: kept over reconnections and the loss of gateways, until it expires or is closed.

import { EventEmitter } from 'node:events';
import { checkBoolean, checkOptions } from '../../base/check.js';
import { ConnectionManager, type ManagerState } from '../../base/connection-manager.js';
import { Departure } from '../../base/departure.js';
import { HawserError } from '../../base/errors.js';
import { isolateRejections, reportListenerError } from '../../base/isolate.js';
import type { Farewell } from '../../base/message-connection.js';
import type { HeartbeatDiagnostics } from '../server/events.js';
import type { ServerMessage } from '../wire/messages.js';
import { type ClientSettings, checkClientOptions, checkSnapshot } from './client-settings.js';
import { type ClientInput, nextClientState } from './client-state.js';
import { EventLine } from './event-line.js';
import { GatewayChoice } from './gateway-target.js';
import { Heartbeat } from './heartbeat.js';
import { KnownSession } from './known-session.js';
import type {
  ClientState,
  ReceivedServerRequest,
  SessionCallOptions,
  SessionClientEvents,
  SessionClientOptions,
  SessionClientStats,
  SessionConnectOptions,
  SessionLeaveOptions,
  SessionSnapshot,
} from './options.js';
import { ServerRequestTracker } from './server-request-tracker.js';
import { attemptSession } from './session-attempt.js';
import { type Answer, SessionCalls } from './session-calls.js';
import {
  clientClosedError,
  closedError,
  expiredError,
  isFinal,
  notConnectedError,
  silentError,
} from './session-errors.js';
import type { LinkOwner, SessionLink } from './session-link.js';

type SessionClosed = Extract<ServerMessage, { readonly type: 'SessionClosed' }>;

/**
 * Keeps one session with a cluster of gateways. A connection that is lost is made anew, at once and then with growing delays, to the same gateway
 * or another one, and the session is continued there: requests that were under way are sent again with their ids, and server requests are
 * delivered once.
 */
export class SessionClient extends EventEmitter<SessionClientEvents> implements AsyncDisposable {
  readonly #settings: ClientSettings;
  readonly #manager: ConnectionManager<SessionLink>;
  readonly #calls: SessionCalls;
  readonly #heartbeat: Heartbeat;
  readonly #departure: Departure;
  readonly #tracker: ServerRequestTracker;
  readonly #gateways: GatewayChoice = new GatewayChoice();
  readonly #events: EventLine = new EventLine(this);
  readonly #owner: LinkOwner = {
    established: (...heard) => this.#events.hold(() => this.#established(...heard)),
    message: (...heard) => this.#events.hold(() => this.#message(...heard)),
    undecodable: () => void ++this.#undecodable,
    drained: () => this.#calls.drained(),
    farewell: (link, farewell) => this.#farewell(link, farewell),
    lost: (...heard) => this.#events.hold(() => this.#lost(...heard)),
  };
  #undecodable = 0;
  #state: ClientState = 'Disconnected';
  readonly #session: KnownSession;
  /** The connection that the session has. */
  #link: SessionLink | undefined;
  /** Resolves when the connection is over by which the last session was closed. */
  #left: Promise<void> = Promise.resolve();
  /** For the connection that `connect` is about to begin. */
  #resumed: SessionSnapshot | undefined;
  /** Why no further attempt is to follow. */
  #end: HawserError | undefined;

  static {
    isolateRejections(SessionClient.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: SessionClientOptions) {
    super({ captureRejections: true });
    const settings = checkClientOptions(options);
    const { wheel, random, reconnection, reconnectAfter, delivery } = settings;
    this.#settings = settings;
    this.#manager = new ConnectionManager({
      ...reconnection,
      reconnectAfter: (reason) => this.#end === undefined && !isFinal(reason) && reconnectAfter(reason),
      connect: (signal) => this.#attempt(signal),
      release: (link) => this.#events.hold(() => this.#release(link)),
      clock: wheel.clock,
      random,
    });
    this.#calls = new SessionCalls(settings);
    this.#tracker = new ServerRequestTracker((request) => this.#deliver(request));
    this.#session = new KnownSession(this.#calls.requests, this.#tracker);
    this.#heartbeat = new Heartbeat(settings, {
      underWay: () => this.#calls.pending,
      send: (...keepAlive) => this.#link?.sendKeepAlive(...keepAlive),
      transportRoundTripMs: () => this.#link?.roundTripMs ?? 0,
      roundTrip: (ms) => this.#events.tell('roundTrip', () => this.emit('roundTrip', ms)),
      silent: () => this.#events.hold(() => this.#leaveGateway(silentError(), undefined)),
    });
    this.#departure = new Departure(wheel, random, {
      spread: (spreadMs) => this.#manager.spreadNextAttempt(spreadMs),
      leave: () => this.#events.hold(() => this.#leaveGateway(undefined, undefined)),
      mustStay: () => delivery === 'at-most-once' && this.#calls.pending > 0,
    });
    this.#hearManager();
  }

  // ---- What the application asks -------------------------------------------------------------------------------------

  /** Where it stands now. */
  get state(): ClientState {
    return this.#state;
  }

  /** The id of the session; undefined while there is none. It is no secret, and of no use to another identity. */
  get sessionId(): string | undefined {
    return this.#session.id;
  }

  /** What it has done since it was made. */
  get stats(): SessionClientStats {
    const { requests, pending } = this.#calls;
    return {
      ...this.#heartbeat.counts,
      requestsSent: requests.sent,
      requestsResent: requests.resent,
      ...this.#tracker.counts,
      undecodable: this.#undecodable,
      pending,
      heartbeats: this.diagnostics,
    };
  }

  /** What is known of the heartbeats of the session; undefined while there is none (source document, "Debugging Information"). */
  get diagnostics(): HeartbeatDiagnostics | undefined {
    const id = this.sessionId;
    return id === undefined ? undefined : this.#heartbeat.diagnostics(id);
  }

  /**
   * Connects: continues the session if there is one, and begins one otherwise. Tries at once and, unless `reconnection` says otherwise, again and
   * again until a gateway serves.
   *
   * @returns a promise that resolves once Connected.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_CLOSED after `close`; ERR_HAWSER_ALREADY_CONNECTED when there is a connection, or
   *   one is being made; ERR_HAWSER_ABORTED when `disconnect` or the signal ended it; ERR_HAWSER_SESSION_EXPIRED when the session is over;
   *   ERR_HAWSER_SESSION_REJECTED when gateways refuse the capabilities. And what the last attempt failed with, when `reconnection` allows no other.
   */
  async connect(options: SessionConnectOptions = {}): Promise<void> {
    checkOptions('options', options, ['signal', 'session']);
    const session = options.session && checkSnapshot(options.session);
    // One that is refused must not take the session away from the one that is about to begin.
    if (this.#manager.state === 'DISCONNECTED') this.#resumed = session;
    await this.#manager.connect(options.signal === undefined ? {} : { signal: options.signal });
  }

  /**
   * Sends a request, once there is a connection. It has an id of its own in the session. With `exactly-once` it is sent again until it is answered,
   * over however many connections, and its effects in the server's store happen once. With `at-most-once` it is sent once, and nothing but the
   * signal ends the wait for an answer as long as the connection lasts.
   *
   * @param payload 0 to 1,048,576 bytes, copied.
   * @returns a promise of the result.
   * @throws (rejects) SessionUserError with what the application on the other side answered; HawserError ERR_HAWSER_HANDLER when its handler
   *   failed; ERR_HAWSER_MESSAGE_TOO_LONG when the server takes no such payload; ERR_HAWSER_QUEUE_FULL when `maxPending` wait; ERR_HAWSER_ABORTED by
   *   the signal or `disconnect`; ERR_HAWSER_SESSION_EXPIRED; ERR_HAWSER_RESPONSE_EVICTED; ERR_HAWSER_NOT_CONNECTED when no connection is being made;
   *   ERR_HAWSER_CONNECTION_LOST when it was sent, and no answer can come; ERR_HAWSER_CLOSED; ERR_HAWSER_ARGUMENT.
   */
  async request(payload: Uint8Array, options: SessionCallOptions = {}): Promise<Uint8Array> {
    return this.#call('request', payload, options);
  }

  /**
   * Sends a query, which changes nothing at the server, once there is a connection, and again until it is answered.
   *
   * @param payload 0 to 1,048,576 bytes, copied.
   * @returns a promise of the result.
   * @throws (rejects) as `request`.
   */
  async query(payload: Uint8Array, options: SessionCallOptions = {}): Promise<Uint8Array> {
    return this.#call('query', payload, options);
  }

  /**
   * What another process needs to continue the session, after `disconnect({ keepSession: true })` or an end of this one. The ids of requests must
   * not be used twice: whoever keeps it for a crash gives a `nextRequestId` that no request has had.
   *
   * @returns undefined while there is no session.
   */
  snapshot(): SessionSnapshot | undefined {
    return this.#session.snapshot();
  }

  /**
   * Closes the session and ends the connection, or stops connecting; `connect` may be called again. What waits is rejected with
   * ERR_HAWSER_ABORTED. Where there is no connection the session expires by itself.
   *
   * @returns a promise that resolves when the gateway has closed the session, or the connection is lost, or after `sessionAnswerTimeoutMs`. After
   *   the last two the session can go on at the server until it expires.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  async disconnect(options: SessionLeaveOptions = {}): Promise<void> {
    const error = new HawserError('ERR_HAWSER_ABORTED', 'disconnect was called meanwhile');
    await this.#events.hold(() => this.#stop(error, options, () => this.#manager.disconnect()));
  }

  /** As `disconnect`, and for good: what waits is rejected with ERR_HAWSER_CLOSED. Closing twice is closing once. */
  async close(options: SessionLeaveOptions = {}): Promise<void> {
    await this.#events.hold(() => this.#stop(clientClosedError(), options, () => this.#manager.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call(kind: 'request' | 'query', payload: Uint8Array, options: SessionCallOptions): Promise<Uint8Array> {
    if (this.#manager.state === 'CLOSED') throw clientClosedError();
    if (this.#state === 'Disconnected') throw notConnectedError();
    if (this.#state === 'Expired') throw expiredError();
    const result = this.#calls.add(kind, payload, options);
    this.#heartbeat.active();
    return result;
  }

  #stop(error: HawserError, options: SessionLeaveOptions, stopConnecting: () => void): Promise<void> {
    checkOptions('options', options, ['keepSession']);
    const isKept = checkBoolean('keepSession', options.keepSession ?? false);
    const link = this.#detach();
    if (!isKept) this.#forgetSession();
    this.#calls.rejectAll(error);
    this.#enter('stopped');
    if (link !== undefined) this.#events.tell('disconnected', () => this.emit('disconnected', undefined));
    if (isKept) link?.close('the client disconnects');
    else if (link !== undefined) this.#left = link.leave(this.#settings.sessionAnswerTimeoutMs);
    stopConnecting();
    return this.#left;
  }

  // ---- The connection ------------------------------------------------------------------------------------------------

  #attempt(signal: AbortSignal): Promise<SessionLink> {
    return attemptSession(
      {
        settings: this.#settings,
        gateways: this.#gateways,
        owner: this.#owner,
        sessionId: () => this.#session.id,
        redirected: (elsewhere) =>
          this.#events.tell('redirected', () => this.emit('redirected', 'NotLeader', elsewhere)),
        endWith: (error) => this.#endAttempts(error),
      },
      signal,
    );
  }

  /** Not when the connection manager hears of it, but at once: messages of the session may be right behind. */
  #established(link: SessionLink, sessionId: string, isContinued: boolean): void {
    this.#session.established(sessionId);
    this.#link = link;
    this.#heartbeat.start();
    this.#calls.open((frame) => link.sendFrame(frame));
    this.#enter('established');
    this.#events.tell('connected', () => this.emit('connected', sessionId, isContinued));
  }

  /** The connection was lost, by the transport or by what the gateway said. */
  #lost(link: SessionLink, reason: HawserError | undefined): void {
    if (this.#link === link) {
      this.#detach();
      this.#gateways.leave(undefined);
      this.#enter('lost');
      this.#events.tell('disconnected', () => this.emit('disconnected', reason));
    }
    this.#manager.notifyConnectionLost(reason, link);
  }

  /** Ends the connection, to make another one. */
  #leaveGateway(reason: HawserError | undefined, elsewhere: string | undefined): void {
    const link = this.#link;
    if (link === undefined) return;
    link.close(reason?.message ?? 'the client goes elsewhere');
    this.#gateways.leave(elsewhere);
    this.#lost(link, reason);
  }

  #release(link: SessionLink): void {
    link.release();
    // It had a session already when its attempt was given up.
    if (link === this.#link) this.#lost(link, undefined);
  }

  /** @returns the connection that the session had. */
  #detach(): SessionLink | undefined {
    const link = this.#link;
    this.#link = undefined;
    this.#heartbeat.stop();
    this.#departure.cancel();
    this.#calls.lost();
    return link;
  }

  #farewell(link: SessionLink, farewell: Farewell): void {
    if (link !== this.#link) return;
    this.#gateways.leave(farewell.elsewhere);
    this.#events.tell('redirected', () => this.emit('redirected', 'farewell', farewell.elsewhere));
    this.#departure.plan(farewell);
  }

  // ---- What comes ----------------------------------------------------------------------------------------------------

  #message(link: SessionLink, message: ServerMessage): void {
    switch (message.type) {
      case 'KeepAliveResponse':
        this.#heartbeat.answered(message.timestamp);
        break;
      case 'ServerRequest':
        this.#tracker.received(message, (ack) => void link.sendIfRoom(ack));
        break;
      case 'SessionClosed':
        this.#sessionClosed(link, message);
        break;
      case 'ClientResponse':
      case 'RequestError':
      case 'QueryResponse':
      case 'QueryError':
        this.#answered(link, message);
        break;
      default:
      // An answer to Create or Continue that came twice.
    }
  }

  #answered(link: SessionLink, answer: Answer): void {
    const error = this.#calls.answered(answer);
    this.#heartbeat.active();
    if (error !== undefined) this.#giveUpSession(link, error);
  }

  #deliver(request: ReceivedServerRequest): void {
    this.#events.tell('onServerRequest', () => {
      const handled = Promise.resolve(this.#settings.onServerRequest?.(request));
      handled.catch((error: unknown) => reportListenerError(this, error, 'onServerRequest'));
    });
  }

  #sessionClosed(link: SessionLink, { reason, leaderId }: SessionClosed): void {
    if (reason === 'SessionExpired') {
      link.close('the session is over');
      this.#lost(link, this.#endWith(expiredError()));
      return;
    }
    this.#events.tell('redirected', () => this.emit('redirected', reason, leaderId));
    this.#leaveGateway(closedError(reason), leaderId);
  }

  // ---- The session ---------------------------------------------------------------------------------------------------

  /** The server forgot the outcome of a request that is waited for: nothing that follows could be trusted to count once. */
  #giveUpSession(link: SessionLink, error: HawserError): void {
    const reason = this.#endWith(error);
    this.#left = link.leave(this.#settings.sessionAnswerTimeoutMs);
    this.#lost(link, reason);
  }

  /** No attempt follows. */
  #endAttempts(error: HawserError): HawserError {
    this.#end = error;
    return error;
  }

  /** The session is over. */
  #endWith(error: HawserError): HawserError {
    this.#endAttempts(error);
    if (this.#detach() !== undefined)
      this.#events.tell('disconnected', () => this.emit('disconnected', error));
    this.#forgetSession();
    this.#calls.rejectAll(expiredError(error));
    this.#enter('expired');
    this.#events.tell('expired', () => this.emit('expired', error));
    return error;
  }

  #forgetSession(): void {
    this.#session.forget();
    this.#gateways.forget();
  }

  #hearManager(): void {
    const manager = this.#manager;
    manager.on('stateChange', (_, to) => this.#events.hold(() => this.#managerIs(to)));
    manager.on('reconnecting', (attempt, delayMs) =>
      this.#events.tell('reconnecting', () => this.emit('reconnecting', attempt, delayMs)),
    );
    manager.on('attemptFailed', (error, attempt) =>
      this.#events.tell('attemptFailed', () => this.emit('attemptFailed', error, attempt)),
    );
    manager.on('listenerError', (error, source) => reportListenerError(this, error, source));
  }

  #managerIs(state: ManagerState): void {
    if (state === 'CONNECTING') this.#begin();
    else if (state === 'DISCONNECTED' || state === 'CLOSED') {
      // Not before: whoever hears of the end may connect at once.
      if (this.#end !== undefined && this.#state === 'ConnectingExistingSession') this.#endWith(this.#end);
      this.#calls.rejectAll(this.#end);
      this.#enter('stopped');
    }
  }

  #begin(): void {
    this.#end = undefined;
    if (this.#resumed !== undefined) this.#session.resume(this.#resumed);
    this.#enter(this.#session.id === undefined ? 'connectNew' : 'connectExisting');
  }

  #enter(input: ClientInput): void {
    const from = this.#state;
    const to = nextClientState(from, input);
    if (to === undefined) return;
    this.#state = to;
    this.#events.tell('stateChange', () => this.emit('stateChange', from, to));
  }
}
