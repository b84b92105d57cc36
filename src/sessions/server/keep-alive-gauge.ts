// Which KeepAlives of a connection count: not too many, none that came before, none whose time cannot be (source document, "Timestamp
// Validation", "Clock Synchronization Issues").

import { TokenBucket } from '../../base/token-bucket.js';
import type { ServerSettings } from './options.js';
import type { SessionPeer } from './session.js';

/** KeepAlives that a connection may send at once; they come back one by one, four in the shortest interval that is allowed. */
const burst = 5;
const shortestIntervalMs = 10_000;
/** So many dropped KeepAlives within a minute end the connection. */
const mostDrops = 20;
const dropWindowMs = 60_000;
/** What the network and the clock of a client may make of a timestamp before the transport is asked. */
const plainSkewMs = 1000;

export type KeepAliveVerdict =
  /** @property isFirst whether it is the first of the connection whose timestamp was looked at. */
  | { readonly verdict: 'accepted'; readonly isFirst: boolean }
  /** @property skewMs by how much its timestamp is off. @property counts whether it counts all the same. */
  | {
      readonly verdict: 'skewed';
      readonly isFirst: boolean;
      readonly skewMs: number;
      readonly counts: boolean;
    }
  | { readonly verdict: 'stale' }
  /** @property isFlood whether it was once too often. */
  | { readonly verdict: 'rateLimited'; readonly isFlood: boolean };

const stale: KeepAliveVerdict = { verdict: 'stale' };

/** Judges the KeepAlives of one connection. */
export class KeepAliveGauge {
  readonly #settings: ServerSettings;
  readonly #peer: SessionPeer;
  readonly #rate: TokenBucket;
  /** Whether none was compared yet. */
  #isFirst = true;
  /** The newest timestamp that counted. */
  #newest: number = Number.NEGATIVE_INFINITY;
  /** Its timestamps less this machine's monotonic clock, and less what the transport says of the client's clock: once they are known. */
  #offsetMs: number | undefined;
  #remoteOffsetMs: number | undefined;
  #drops = 0;
  #dropsSinceMs = 0;

  constructor(settings: ServerSettings, peer: SessionPeer) {
    this.#settings = settings;
    this.#peer = peer;
    const intervalMs = Math.min(settings.keepAliveIntervalMs, shortestIntervalMs);
    this.#rate = new TokenBucket(4000 / intervalMs, burst, settings.wheel.clock.now());
  }

  /** @param timestamp of a KeepAlive that has come now. */
  judge(timestamp: number): KeepAliveVerdict {
    const nowMs = this.#settings.wheel.clock.now();
    if (!this.#rate.take(1, nowMs)) return { verdict: 'rateLimited', isFlood: this.#isFlood(nowMs) };
    if (timestamp <= this.#newest) return stale;
    const { skewMs, remoteMs } = this.#compare(timestamp, nowMs);
    const { clockSkewToleranceMs, sessionTimeoutMs, skewPolicy } = this.#settings;
    const isSkewed = skewMs > clockSkewToleranceMs || skewMs < -sessionTimeoutMs;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (isSkewed && skewPolicy === 'reject') return { verdict: 'skewed', isFirst, skewMs, counts: false };
    this.#newest = timestamp;
    this.#learn(timestamp, nowMs, remoteMs);
    return isSkewed ? { verdict: 'skewed', isFirst, skewMs, counts: true } : { verdict: 'accepted', isFirst };
  }

  /** @returns by how much the timestamp is off, and the client's clock as the transport knows it, if that was asked. */
  #compare(timestamp: number, nowMs: number): { skewMs: number; remoteMs: number | undefined } {
    // Without a transport that follows the other side's clock there is only that of the wall to compare with, as the source document says.
    if (this.#peer.remoteTimeMs === undefined) {
      return { skewMs: timestamp - this.#settings.wheel.clock.wallNow(), remoteMs: undefined };
    }
    const skewMs = this.#offsetMs === undefined ? 0 : timestamp - (this.#offsetMs + nowMs);
    // The transport is asked seldom, since its answer costs more than all the rest: only clocks that drift need it.
    const plainMs = Math.min(plainSkewMs, this.#settings.clockSkewToleranceMs / 2);
    const isPlain = this.#remoteOffsetMs !== undefined && Math.abs(skewMs) <= plainMs;
    if (this.#offsetMs === undefined || isPlain) return { skewMs, remoteMs: undefined };
    const remoteMs = this.#peer.remoteTimeMs();
    if (remoteMs === undefined || this.#remoteOffsetMs === undefined) return { skewMs, remoteMs };
    return { skewMs: timestamp - (this.#remoteOffsetMs + remoteMs), remoteMs };
  }

  /**
   * The first KeepAlive says what the client's clock is, so that a device whose clock is wrong is not locked out; the next one after the
   * transport has measured that clock says so for good, drift included.
   */
  #learn(timestamp: number, nowMs: number, remoteMs: number | undefined): void {
    if (remoteMs === undefined) {
      this.#offsetMs ??= timestamp - nowMs;
      return;
    }
    this.#remoteOffsetMs ??= timestamp - remoteMs;
    this.#offsetMs = this.#remoteOffsetMs + remoteMs - nowMs;
  }

  #isFlood(nowMs: number): boolean {
    if (nowMs - this.#dropsSinceMs >= dropWindowMs) {
      this.#dropsSinceMs = nowMs;
      this.#drops = 0;
    }
    return ++this.#drops >= mostDrops;
  }
}
