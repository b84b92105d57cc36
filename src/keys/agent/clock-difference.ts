// What the clocks of two SAEs differ by: measured with the four times of two messages, as NTP does (RFC 5905, section 8).

import type { ClockDifference } from '../protocol/steps.js';
import type { Stamps } from '../wire/envelope.js';

/** So many messages that were sent last can be answered. */
const maxSent = 32;

/** How fast two clocks may drift apart, as a part of the time that passes: 100 in a million, as quartz does at worst. */
const drift = 1e-4;

/** Times are whole milliseconds: each of the two one-way delays is known to one of them. */
const roundingMs = 1;

interface Sample extends ClockDifference {
  readonly atMs: number;
}

/**
 * Measures within one session. Of all measurements the one with the shortest round trip counts, for it can be wrong by the least; an old one
 * counts for less, as clocks drift.
 */
export class ClockDifferenceEstimate {
  /** When messages were sent: an echo of anything else measures nothing. */
  #sent: number[] = [];
  #echo: Stamps['echo'] = null;
  #best: Sample | undefined;

  /** Begins anew: with a session, and when our own clock was set. */
  reset(): void {
    this.#sent = [];
    this.#echo = null;
    this.#best = undefined;
  }

  /** The stamps of a message that is sent now. */
  send(nowMs: number): Stamps {
    if (this.#sent.at(-1) !== nowMs) this.#sent.push(nowMs);
    if (this.#sent.length > maxSent) this.#sent.shift();
    return { sentAtMs: nowMs, echo: this.#echo };
  }

  /** A message has come, whose stamps are those of the peer. */
  receive(stamps: Stamps, nowMs: number): void {
    this.#echo = { sentAtMs: stamps.sentAtMs, receivedAtMs: nowMs };
    if (stamps.echo === null || !this.#sent.includes(stamps.echo.sentAtMs)) return;
    const thereMs = stamps.echo.receivedAtMs - stamps.echo.sentAtMs;
    const backMs = stamps.sentAtMs - nowMs;
    const roundTripMs = thereMs - backMs;
    // The peer cannot have held the message for longer than it was away.
    if (roundTripMs < -2 * roundingMs) return;
    const sample = {
      offsetMs: (thereMs + backMs) / 2,
      uncertaintyMs: Math.max(0, roundTripMs) / 2 + roundingMs,
      atMs: nowMs,
    };
    if (this.#best === undefined || sample.uncertaintyMs <= uncertaintyOf(this.#best, nowMs))
      this.#best = sample;
  }

  /** @returns undefined while nothing was measured. */
  current(nowMs: number): ClockDifference | undefined {
    if (this.#best === undefined) return undefined;
    return { offsetMs: this.#best.offsetMs, uncertaintyMs: uncertaintyOf(this.#best, nowMs) };
  }
}

function uncertaintyOf(sample: Sample, nowMs: number): number {
  return sample.uncertaintyMs + Math.max(0, nowMs - sample.atMs) * drift;
}
