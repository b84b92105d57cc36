// The server of sessions: clients that survive reconnects, restarts and the loss of a gateway.

import { EventEmitter } from 'node:events';
import { argumentError, checkFunction, checkText, describe } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { guard, isolateRejections, reportListenerError } from '../../base/isolate.js';
import type { MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { WheelTimer } from '../../base/timing-wheel.js';
import { prefixes } from '../store/keys.js';
import { limits } from '../wire/messages.js';
import { publishEvent } from './diagnostics.js';
import type { HeartbeatDiagnostics, SessionServerEvents, SessionServerStats } from './events.js';
import type { SessionInfo } from './handler.js';
import { Inbox } from './inbox.js';
import { checkServerOptions, type ServerSettings, type SessionServerOptions } from './options.js';
import { lingerMs, PeerLink } from './peer-link.js';
import type { ServerContext } from './server-context.js';
import { type CoreHost, ServerCore } from './server-core.js';
import type { SessionPeer } from './session.js';

const maxIdentityBytes = 256;

/**
 * Serves sessions to the clients of a gateway (source document, "Keep-Alive Protocol API Contract").
 *
 * What a session is, lies in the store; who is connected, and when a session expires, this server knows alone: no heartbeat writes anything.
 * Everything happens in one serial queue, in the order in which it came.
 */
export class SessionServer extends EventEmitter<SessionServerEvents> implements AsyncDisposable {
  readonly #settings: ServerSettings;
  readonly #context: ServerContext;
  readonly #inbox: Inbox;
  #watch: Disposable | undefined;
  #starting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_CLOSED when the store is closed. */
  constructor(options: SessionServerOptions) {
    super({ captureRejections: true });
    this.#settings = checkServerOptions(options);
    this.#context = this.#makeCore();
    this.#inbox = new Inbox(this.#context);
  }

  /**
   * Takes the lease of the gateway. Connections may be accepted before: their clients are refused until then.
   *
   * @returns a promise that resolves when it is held; it waits for the store as long as that takes.
   * @throws HawserError (rejects) ERR_HAWSER_CLOSED, also when `close` comes first.
   */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Its name among the gateways of the store. */
  get gateway(): string {
    return this.#settings.gateway;
  }

  /** How much it does, and did. */
  get stats(): SessionServerStats {
    const { table, tally, standing, creates, claims, requests } = this.#context;
    const { overloaded, unexpected, ...counts } = requests.counts;
    const { dropped } = tally;
    return {
      sessions: table.size,
      connected: table.connected,
      maxSessions: this.#settings.maxSessions,
      inCustody: standing.inCustody,
      pending: creates.size + claims.size,
      serving: standing.serving,
      leaseValid: standing.leaseValid,
      isLeader: standing.isLeader,
      created: tally.created,
      continued: tally.continued,
      claimed: tally.claimed,
      expired: tally.expired,
      warnings: tally.warnings,
      closed: tally.closed,
      moved: tally.moved,
      rejected: { ...tally.rejected },
      keepAlives: tally.keepAlives,
      dropped: {
        ...dropped,
        overloaded: dropped.overloaded + overloaded,
        unexpected: dropped.unexpected + unexpected,
      },
      ...counts,
      skewMs: tally.skewMs.snapshot(),
      cleanupMs: tally.cleanupMs.snapshot(),
      roundTripMs: tally.roundTripMs.snapshot(),
    };
  }

  /** The sessions that this gateway owns, in no order. */
  *sessions(): IterableIterator<SessionInfo> {
    for (const session of this.#context.table.values()) yield session.info;
  }

  /** Whether the client of a session is connected; false for one that this gateway does not own. */
  isConnected(sessionId: string): boolean {
    return this.#context.table.get(sessionId)?.connected ?? false;
  }

  /** @returns what is known of the heartbeats of a session; undefined when this gateway does not own it. */
  diagnostics(sessionId: string): HeartbeatDiagnostics | undefined {
    const session = this.#context.table.get(sessionId);
    if (session === undefined) return undefined;
    const { clock } = this.#context;
    const { heartbeats, expiresAtMs } = session;
    return {
      sessionId,
      lastHeartbeats: heartbeats.timestamps,
      currentExpiredAt: Math.round(clock.wallNow() + expiresAtMs - clock.now()),
      averageRoundTripTime: heartbeats.averageRoundTripMs,
      lastRoundTripTime: heartbeats.lastRoundTripMs,
      droppedStaleResponses: heartbeats.stale,
      intervalJitterMs: heartbeats.intervalJitterMs,
    };
  }

  /**
   * Serves a client by a connection.
   *
   * @param peer who that is: a session belongs to the identity that created it, and no other can continue it.
   * @returns what is to be told of the connection.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  accept(connection: MessageConnection, peer: SessionPeer): MessageReceiver {
    checkText('peer.identity', peer?.identity, maxIdentityBytes);
    if (peer.remoteTimeMs !== undefined) checkFunction('peer.remoteTimeMs', peer.remoteTimeMs);
    if (typeof connection?.send !== 'function') {
      throw argumentError('connection', 'a MessageConnection', describe(connection));
    }
    const link = new PeerLink(connection, peer, this.#settings);
    const receiver = this.#inbox.accept(link);
    if (this.#closing !== undefined) link.end('the server is closed');
    return receiver;
  }

  /**
   * Sends a message to the client of a session, wherever that is connected; it is kept until the client acknowledges it.
   *
   * @param payload at most 10,485,760 bytes.
   * @returns a promise of the id of the server request, once it is kept.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_SESSION_EXPIRED when there is no such session, ERR_HAWSER_QUEUE_FULL when
   *   the session has too many, ERR_HAWSER_STORE_UNAVAILABLE, ERR_HAWSER_CLOSED.
   */
  push(sessionId: string, payload: Uint8Array): Promise<number> {
    return this.#context.requests.push(sessionId, payload);
  }

  /**
   * Ends a session, whichever gateway owns it: its client is told that it has expired.
   *
   * @returns a promise of whether there was one, when it is gone from the store; one of this gateway that the store cannot be asked for now
   *   goes as soon as it can.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_STORE_UNAVAILABLE, ERR_HAWSER_CLOSED.
   */
  async endSession(sessionId: string): Promise<boolean> {
    checkText('sessionId', sessionId, limits.sessionIdBytes);
    if (this.#closing !== undefined) throw closedError();
    const { table, lifecycle, ownership, requests } = this.#context;
    const session = table.get(sessionId);
    if (session !== undefined) {
      const { link } = session;
      lifecycle.end(session, 'closed');
      link?.dismiss('SessionExpired');
      return true;
    }
    const found = await ownership.read(sessionId);
    if (found === undefined) return false;
    return (await requests.remove({ id: sessionId, ...found }, 'closed')) === 'removed';
  }

  /**
   * Stops: attached clients are told so, and continue their sessions with another gateway, or with the next server on this store. Nothing is
   * deleted. Connections are ended a second later; the store stays open. Closing twice is closing once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    if (this.#closing !== undefined) throw closedError();
    const { requests, standing } = this.#context;
    const { store } = this.#settings;
    if (store.shared) {
      this.#watch = store.watch(prefixes.serverRequests, {
        changed: (changes) => {
          for (const change of changes) requests.changed(change);
        },
        reset: () => requests.missed(),
      });
    }
    await standing.start();
  }

  async #close(): Promise<void> {
    const { creates, claims, expiry, ownership, removals, requests, standing, strays } = this.#context;
    creates.close();
    claims.close();
    expiry.close();
    this.#watch?.[Symbol.dispose]();
    await new Promise<void>((resolve) => standing.dismissAll('Shutdown', resolve));
    ownership.close();
    strays.close();
    removals.close();
    requests.close();
    // First, so that another gateway can take over while the last messages arrive.
    await standing.close();
    await this.#linger();
    for (const link of Array.from(this.#inbox.links)) link.end('the server is closed');
  }

  async #linger(): Promise<void> {
    const { wheel } = this.#settings;
    if (this.#inbox.links.size === 0) return;
    await new Promise<void>((resolve) => {
      wheel.schedule(new WheelTimer(resolve), wheel.clock.now() + lingerMs);
    });
  }

  #makeCore(): ServerCore {
    const host: CoreHost = {
      tell: (event, ...args) => {
        publishEvent(this.gateway, event, args);
        guard(this, event, () => Reflect.apply(this.emit, this, [event, ...args]));
      },
      failed: (error, source) => reportListenerError(this, error, source),
    };
    return new ServerCore(this.#settings, host);
  }
}

isolateRejections(SessionServer.prototype);

function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the server is closed');
}
