// What comes by the connections of a server: frames become messages, and messages actions.

import type { MessageReceiver } from '../../base/message-connection.js';
import { TokenBucket } from '../../base/token-bucket.js';
import { decodeClientMessage } from '../wire/codec.js';
import type { ClientMessage } from '../wire/messages.js';
import type { PeerLink } from './peer-link.js';
import type { ServerContext } from './server-context.js';

type KeepAlive = Extract<ClientMessage, { type: 'KeepAlive' }>;

/** A session tells of its clock's deviation at most so often. */
const skewToldMs = 60_000;
/** Asking the transport for a round trip waits for its thread, so it is asked at some of the KeepAlives of all sessions: at so many in a second. */
const roundTripsPerSecond = 20;
const roundTripBurst = 100;

export class Inbox {
  readonly #context: ServerContext;
  readonly #links = new Set<PeerLink>();
  readonly #roundTrips: TokenBucket;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#roundTrips = new TokenBucket(roundTripsPerSecond, roundTripBurst, context.clock.now());
  }

  get links(): ReadonlySet<PeerLink> {
    return this.#links;
  }

  accept(link: PeerLink): MessageReceiver {
    this.#links.add(link);
    return new LinkReceiver(link, this);
  }

  /** For the receivers of connections. Frames are decoded when they come, since they are valid only then, and handled in their turn. */
  receive(link: PeerLink, frame: Uint8Array, unreliable: boolean): void {
    const { queue, tally } = this.#context;
    if (link.isOver) return;
    const bytes = frame.length;
    if (!link.hold(bytes)) {
      ++tally.dropped.overloaded;
      return;
    }
    const message = this.#decode(frame);
    if (message === undefined) link.release(bytes);
    else {
      queue.enqueue(() => {
        link.release(bytes);
        if (!link.isOver) this.#handle(link, message, unreliable);
      });
    }
  }

  #decode(frame: Uint8Array): ClientMessage | undefined {
    try {
      const message = decodeClientMessage(frame);
      if (message.type !== 'ClientRequest' && message.type !== 'Query') return message;
      return { ...message, payload: new Uint8Array(message.payload) };
    } catch {
      // One bad frame must never end more than itself.
      ++this.#context.tally.dropped.undecodable;
      return undefined;
    }
  }

  /** For the receivers of connections. It is over; what came before counts: a client may have said its last word. */
  closed(link: PeerLink): void {
    this.#context.queue.enqueue(() => {
      link.closed();
      this.#links.delete(link);
      link.pending?.abandon();
      this.#context.lifecycle.detach(link);
    });
  }

  // ---- Actions -----------------------------------------------------------------------------------------------------

  #handle(link: PeerLink, message: ClientMessage, unreliable: boolean): void {
    const { type } = message;
    if (type === 'CreateSession' || type === 'ContinueSession') this.#begin(link, message);
    else if (link.session === undefined || this.#context.standing.isFollower) {
      this.#unattached(link, message);
    } else if (type === 'KeepAlive') this.#keepAlive(link, message, unreliable);
    else this.#attached(link, message);
  }

  #begin(
    link: PeerLink,
    message: Extract<ClientMessage, { type: 'CreateSession' | 'ContinueSession' }>,
  ): void {
    const { clock, creates, claims, standing, tally, tell } = this.#context;
    const { nonce } = message;
    if (!link.takeAttempt(clock.now())) {
      ++tally.dropped.createLimited;
    } else if (standing.isFollower) {
      link.reject('NotLeader', nonce, standing.hint);
      ++tally.rejected.NotLeader;
      tell('sessionRejected', 'NotLeader', link.peer.identity);
    } else if (message.type === 'CreateSession') creates.create(link, message.capabilities, nonce);
    else claims.continue(link, message.sessionId, nonce);
  }

  #unattached(link: PeerLink, { type }: ClientMessage): void {
    const { standing, tally } = this.#context;
    if (type === 'CloseSession') link.pending?.abandon();
    const isIgnored = type === 'CloseSession' || type === 'ConnectionClosed';
    const { isFollower } = standing;
    // A client that is not done with its beginning hears of that, and one that is to go has heard so.
    if (
      isIgnored ||
      link.pending !== undefined ||
      link.isLeaving ||
      (isFollower && type === 'ServerRequestAck')
    ) {
      ++tally.dropped.unexpected;
    } else if (isFollower) link.dismiss('NotLeaderAnymore', standing.hint);
    else link.dismiss('SessionError');
  }

  #attached(
    link: PeerLink,
    message: Exclude<ClientMessage, { type: 'CreateSession' | 'ContinueSession' | 'KeepAlive' }>,
  ): void {
    const { session } = link;
    if (session === undefined) return;
    const { lifecycle, requests, settings } = this.#context;
    if (settings.renewOn === 'any') lifecycle.renew(session);
    switch (message.type) {
      case 'ClientRequest':
        requests.request(session, message);
        break;
      case 'Query':
        requests.query(session, message);
        break;
      case 'ServerRequestAck':
        requests.acknowledge(session, message.requestId);
        break;
      case 'CloseSession':
        // Not answered; the client ends the connection, or begins anew by it.
        lifecycle.end(session, 'closed');
        break;
      case 'ConnectionClosed':
        lifecycle.detach(link);
        break;
    }
  }

  #keepAlive(link: PeerLink, { timestamp }: KeepAlive, unreliable: boolean): void {
    const { session } = link;
    if (session === undefined) return;
    const { lifecycle, tally, clock } = this.#context;
    const judged = link.gauge.judge(timestamp);
    switch (judged.verdict) {
      case 'rateLimited':
        ++tally.dropped.rateLimited;
        if (judged.isFlood) {
          lifecycle.detach(link);
          link.dismiss('SessionError');
        }
        return;
      case 'stale':
        ++tally.dropped.stale;
        ++session.heartbeats.stale;
        return;
      case 'skewed':
        if (judged.isFirst) tally.skewMs.add(timestamp - clock.wallNow());
        this.#tellSkew(link, judged.skewMs);
        if (judged.counts) break;
        ++tally.dropped.skewed;
        return;
      case 'accepted':
        if (judged.isFirst) this.#wallClocks(link, timestamp);
    }
    ++tally.keepAlives;
    const roundTripMs = this.#roundTripMs(link);
    session.heartbeats.add(timestamp, clock.now(), roundTripMs);
    lifecycle.renew(session);
    link.echo(timestamp, unreliable);
  }

  /** @returns what the transport has measured, for some of the KeepAlives; 0 for the others. */
  #roundTripMs({ connection }: PeerLink): number {
    const { clock, tally } = this.#context;
    if (connection.roundTripMs === undefined || !this.#roundTrips.take(1, clock.now())) return 0;
    const roundTripMs = connection.roundTripMs();
    if (roundTripMs > 0) tally.roundTripMs.add(roundTripMs);
    return roundTripMs;
  }

  /** A clock that is wrong is no harm, but whoever runs the device may want to know. */
  #wallClocks(link: PeerLink, timestamp: number): void {
    const { clock, settings, tally } = this.#context;
    const skewMs = timestamp - clock.wallNow();
    tally.skewMs.add(skewMs);
    if (skewMs > settings.clockSkewToleranceMs || skewMs < -settings.sessionTimeoutMs) {
      this.#tellSkew(link, skewMs);
    }
  }

  #tellSkew({ session }: PeerLink, skewMs: number): void {
    const { clock, tell } = this.#context;
    const nowMs = clock.now();
    if (session === undefined || nowMs - session.heartbeats.skewToldMs < skewToldMs) return;
    session.heartbeats.skewToldMs = nowMs;
    tell('clockSkew', session.info, skewMs);
  }
}

/** What comes by one connection. */
class LinkReceiver implements MessageReceiver {
  readonly #link: PeerLink;
  readonly #inbox: Inbox;

  constructor(link: PeerLink, inbox: Inbox) {
    this.#link = link;
    this.#inbox = inbox;
  }

  message(frame: Uint8Array): void {
    this.#inbox.receive(this.#link, frame, false);
  }

  unreliableMessage(frame: Uint8Array): void {
    this.#inbox.receive(this.#link, frame, true);
  }

  drained(): void {
    // What could not be sent was lost: whoever waits for it asks again.
  }

  closed(): void {
    this.#inbox.closed(this.#link);
  }
}
