// How long from one KeepAlive to the next (source document, "Adaptive Intervals").

import type { IntervalSettings } from './client-settings.js';

/** A smoothed round trip above this is a poor network. */
const longRoundTripMs = 1000;
/** So many KeepAlives in a row must be answered until one that was missed is forgotten. */
const answersToForgive = 4;

/** Follows what happens: a busy client is to know soon that its gateway is gone, and on a poor network more KeepAlives may be lost. */
export class AdaptivePace {
  readonly #settings: IntervalSettings;
  readonly #underWay: () => number;
  #activeMs = Number.NEGATIVE_INFINITY;
  #answersOwed = 0;
  #isSlow = false;

  /** @param underWay how many requests and queries are. */
  constructor(settings: IntervalSettings, underWay: () => number) {
    this.#settings = settings;
    this.#underWay = underWay;
  }

  /** Something was asked or answered. */
  active(nowMs: number): void {
    this.#activeMs = nowMs;
  }

  answered(smoothedRoundTripMs: number): void {
    this.#isSlow = smoothedRoundTripMs > longRoundTripMs;
    if (this.#answersOwed > 0) --this.#answersOwed;
  }

  missed(): void {
    this.#answersOwed = answersToForgive;
  }

  /** Always one of the three that were set, so that the range of the source document holds. */
  intervalMs(nowMs: number): number {
    const { busyMs, idleMs, poorNetworkMs } = this.#settings;
    const isBusy = this.#underWay() > 0 || nowMs - this.#activeMs < busyMs;
    const isPoor = this.#isSlow || this.#answersOwed > 0;
    return Math.min(idleMs, isBusy ? busyMs : idleMs, isPoor ? poorNetworkMs : idleMs);
  }
}
