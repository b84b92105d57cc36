// KeepAlives of a client and their answers (source document, "Normal Heartbeat Exchange", "Stale Response Handling", "Client-Side Detection").

import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import type { HeartbeatDiagnostics } from '../server/events.js';
import type { ClientSettings } from './client-settings.js';
import { AdaptivePace } from './intervals.js';

/** So many of the last KeepAlives are known: answers to older ones count as answers to none. */
const ringSize = 16;
/** Of the smoothed round trip. */
const alpha = 1 / 8;
const leastAnswerTimeoutMs = 5000;
/** A server's timeout is so many of its intervals (source document, "Heartbeat Intervals"). */
const intervalsToExpiry = 3;

/** What a heartbeat does. */
export interface HeartbeatHandlers {
  /** How many requests and queries are under way. */
  readonly underWay: () => number;
  /** Sends a KeepAlive; what fails counts as one that is lost. @param mustArrive by the channel that loses nothing. */
  readonly send: (timestamp: number, mustArrive: boolean) => void;
  /** The round trip that the transport has measured; 0 for none. */
  readonly transportRoundTripMs: () => number;
  readonly roundTrip: (ms: number) => void;
  /** Nothing answers: the connection is to be given up. The heartbeat has stopped. */
  readonly silent: () => void;
}

/** What is counted over all connections. */
export interface HeartbeatCounts {
  keepAlivesSent: number;
  keepAlivesAnswered: number;
  droppedStaleResponses: number;
  unexpectedResponses: number;
  missedResponses: number;
}

interface SentKeepAlive {
  readonly timestamp: number;
  readonly sentMs: number;
}

/**
 * Runs while there is a connection: one KeepAlive at once, so that the round trip is known early, then one in each interval. One without an
 * answer in time is followed by another at once, which cannot be lost on the way; without an answer to either the connection is given up. Both
 * waits together are no longer than an interval.
 */
export class Heartbeat {
  readonly counts: HeartbeatCounts = {
    keepAlivesSent: 0,
    keepAlivesAnswered: 0,
    droppedStaleResponses: 0,
    unexpectedResponses: 0,
    missedResponses: 0,
  };
  readonly #settings: ClientSettings;
  readonly #handlers: HeartbeatHandlers;
  readonly #wheel: TimingWheel;
  readonly #pace: AdaptivePace;
  readonly #interval: WheelTimer = new WheelTimer(() => this.#intervalElapsed());
  readonly #answer: WheelTimer = new WheelTimer(() => this.#missed());
  /** The newest last. */
  readonly #sent: SentKeepAlive[] = [];
  #newestAnswered = Number.NEGATIVE_INFINITY;
  #isRepeated = false;
  #isRunning = false;
  /** Wall time less monotonic time when the connection was made: whoever sets the clock meanwhile disturbs nothing. */
  #wallOffsetMs = 0;
  /** Monotonic time of the last KeepAlive that is known to have arrived, or of the connection's begin. */
  #renewedMs = 0;
  #averageRoundTripMs = 0;
  #lastRoundTripMs = 0;

  constructor(settings: ClientSettings, handlers: HeartbeatHandlers) {
    this.#settings = settings;
    this.#handlers = handlers;
    this.#wheel = settings.wheel;
    this.#pace = new AdaptivePace(settings.intervals, handlers.underWay);
  }

  /** There is a connection. */
  start(): void {
    const { clock } = this.#wheel;
    this.#sent.length = 0;
    this.#newestAnswered = Number.NEGATIVE_INFINITY;
    this.#wallOffsetMs = clock.wallNow() - clock.now();
    this.#renewedMs = clock.now();
    this.#isRunning = true;
    this.#keepAlive(false);
  }

  /** There is none any more. Harmless when it does not run. */
  stop(): void {
    this.#isRunning = false;
    this.#wheel.cancel(this.#interval);
    this.#wheel.cancel(this.#answer);
  }

  /** A request or a query was made or answered: the next KeepAlive may be due earlier. */
  active(): void {
    if (!this.#isRunning) return;
    const nowMs = this.#wheel.clock.now();
    this.#pace.active(nowMs);
    const last = this.#sent.at(-1);
    if (last === undefined) return;
    const dueMs = last.sentMs + this.#pace.intervalMs(nowMs);
    if (dueMs < this.#interval.deadlineMs) this.#wheel.schedule(this.#interval, dueMs);
  }

  /** An answer has come. */
  answered(timestamp: number): void {
    if (timestamp === this.#newestAnswered) return;
    if (timestamp < this.#newestAnswered) {
      ++this.counts.droppedStaleResponses;
      return;
    }
    const sent = this.#sent.find((each) => each.timestamp === timestamp);
    if (sent === undefined) {
      ++this.counts.unexpectedResponses;
      return;
    }
    ++this.counts.keepAlivesAnswered;
    this.#newestAnswered = timestamp;
    this.#renewedMs = sent.sentMs;
    this.#wheel.cancel(this.#answer);
    this.#measure(this.#wheel.clock.now() - sent.sentMs);
  }

  diagnostics(sessionId: string): HeartbeatDiagnostics {
    const timeoutMs = intervalsToExpiry * this.#settings.intervals.idleMs;
    return {
      sessionId,
      lastHeartbeats: this.#sent.map(({ timestamp }) => timestamp),
      currentExpiredAt: Math.round(this.#wallOffsetMs + this.#renewedMs + timeoutMs),
      averageRoundTripTime: this.#averageRoundTripMs,
      lastRoundTripTime: this.#lastRoundTripMs,
      droppedStaleResponses: this.counts.droppedStaleResponses,
      intervalJitterMs: 0,
    };
  }

  #measure(roundTripMs: number): void {
    const isFirst = this.counts.keepAlivesAnswered === 1;
    this.#lastRoundTripMs = roundTripMs;
    this.#averageRoundTripMs = isFirst
      ? roundTripMs
      : this.#averageRoundTripMs + alpha * (roundTripMs - this.#averageRoundTripMs);
    this.#pace.answered(this.#averageRoundTripMs);
    this.#handlers.roundTrip(roundTripMs);
  }

  #intervalElapsed(): void {
    // The interval has become shorter than the wait for the answer: what that comes to goes first.
    if (this.#answer.armed) this.#wheel.schedule(this.#interval, this.#answer.deadlineMs);
    else this.#keepAlive(false);
  }

  #keepAlive(isRepeated: boolean): void {
    const sentMs = this.#wheel.clock.now();
    // Two in one millisecond are still told apart.
    const least = (this.#sent.at(-1)?.timestamp ?? Number.NEGATIVE_INFINITY) + 1;
    const timestamp = Math.max(Math.floor(this.#wallOffsetMs + sentMs), least);
    this.#sent.push({ timestamp, sentMs });
    if (this.#sent.length > ringSize) this.#sent.shift();
    ++this.counts.keepAlivesSent;
    this.#isRepeated = isRepeated;
    const intervalMs = this.#pace.intervalMs(sentMs);
    this.#wheel.schedule(this.#interval, sentMs + intervalMs);
    this.#wheel.schedule(this.#answer, sentMs + this.#answerTimeoutMs(intervalMs));
    this.#handlers.send(timestamp, isRepeated);
  }

  #answerTimeoutMs(intervalMs: number): number {
    const roundTripMs = Math.max(this.#averageRoundTripMs, this.#handlers.transportRoundTripMs());
    const wanted = this.#settings.answerTimeoutMs ?? leastAnswerTimeoutMs + 3 * roundTripMs;
    return Math.min(wanted, intervalMs / 2);
  }

  #missed(): void {
    ++this.counts.missedResponses;
    this.#pace.missed();
    if (!this.#isRepeated) {
      this.#keepAlive(true);
      return;
    }
    this.stop();
    this.#handlers.silent();
  }
}
