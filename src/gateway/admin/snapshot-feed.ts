// One snapshot a second for all who look on, made into text once.

import type { Clock, Timer } from '../../base/clock.js';
import type { Logger } from '../log/logger.js';
import type { ObservedGateway } from '../observed-gateway.js';
import type { GatewaySnapshot } from '../snapshot.js';
import { type Sample, sampleOf } from './samples.js';

const intervalMs = 1000;
/** While nobody looks on, for the history. */
const quietIntervalMs = 5000;
/** Five minutes when nobody looked on. */
const maxSamples = 300;
const historyMs = 300_000;
/** Those whose timers do not run to the millisecond get the same snapshot. */
const toleranceMs = 100;

/** A snapshot with its text in JSON. */
export interface Shot {
  readonly snapshot: GatewaySnapshot;
  readonly text: string;
  readonly sample: Sample;
}

/** Takes a shot. */
export type Viewer = (shot: Shot) => void;

/** Takes snapshots of a gateway and hands them to viewers; keeps samples of the last five minutes. */
export class SnapshotFeed {
  readonly #gateway: ObservedGateway;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #viewers = new Set<Viewer>();
  readonly #samples: Sample[] = [];
  #timer: Timer | undefined;
  #last: Shot | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isOver = false;

  /** @param withHistory whether it takes snapshots when nobody looks on. */
  constructor(gateway: ObservedGateway, clock: Clock, log: Logger, withHistory: boolean) {
    this.#gateway = gateway;
    this.#clock = clock;
    this.#log = log;
    if (withHistory) this.#tick(quietIntervalMs);
  }

  /** At most about a second old, and of the state in which the gateway is. */
  current(): Shot {
    const last = this.#last;
    const isRecent = this.#clock.now() - this.#lastMs < intervalMs - toleranceMs;
    return isRecent && last?.snapshot.state === this.#gateway.state ? last : this.#shoot();
  }

  /** The oldest first; one a second of the time in which somebody looked on, else one each five seconds. */
  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /**
   * Hands a shot to `viewer` at once, and one each second.
   *
   * @returns what ends that.
   */
  watch(viewer: Viewer): () => void {
    viewer(this.current());
    this.#viewers.add(viewer);
    if (this.#viewers.size === 1) this.#plan(intervalMs, quietIntervalMs);
    return () => {
      this.#viewers.delete(viewer);
    };
  }

  close(): void {
    this.#isOver = true;
    this.#timer?.clear();
    this.#viewers.clear();
  }

  #plan(delayMs: number, quietMs: number): void {
    this.#timer?.clear();
    this.#timer = this.#clock.setTimeout(() => this.#tick(quietMs), delayMs);
  }

  /** @param quietMs how long to wait next when nobody looks on. */
  #tick(quietMs: number): void {
    if (this.#isOver) return;
    try {
      const shot = this.#shoot();
      for (const viewer of [...this.#viewers]) viewer(shot);
    } catch (error) {
      // The next one may succeed, and no viewer is to end the gateway.
      this.#log.error({ err: error }, 'no snapshot');
    }
    this.#plan(this.#viewers.size > 0 ? intervalMs : quietMs, quietMs);
  }

  #shoot(): Shot {
    const snapshot = this.#gateway.snapshot();
    const shot = { snapshot, text: JSON.stringify(snapshot), sample: sampleOf(snapshot) };
    this.#last = shot;
    this.#lastMs = this.#clock.now();
    this.#samples.push(shot.sample);
    const isOld = ({ timeMs }: Sample): boolean => snapshot.timeMs - timeMs > historyMs;
    while (this.#samples.length > maxSamples || this.#samples.slice(0, 1).some(isOld)) this.#samples.shift();
    return shot;
  }
}
