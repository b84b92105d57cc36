// The lease by which a gateway owns its sessions, kept for as long as the gateway runs.

import { Backoff } from '../../base/backoff.js';
import { HawserError } from '../../base/errors.js';
import { throwLater } from '../../base/isolate.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { gatewayKey } from '../store/keys.js';
import { readKey } from '../store/read-key.js';
import { decodeGateway, encodeGateway } from '../store/records.js';
import type { SessionStore, StoreEntry, StoreLease } from '../store/store.js';
import type { GatewayLease, GatewayLeaseListener } from './contracts.js';
import { storeRetry } from './watched-keys.js';

export interface KeptLeaseOptions {
  readonly store: SessionStore;
  readonly gateway: string;
  /** As of `GatewayRecord`. */
  readonly advertise: string;
  readonly startedAt: number;
  readonly wheel: TimingWheel;
  readonly random: Random;
  readonly listener: GatewayLeaseListener;
}

/** Whoever took the lease under the same name has it so long at least: two gateways of one name are a mistake, and must not chase each other. */
const yieldMs = 10_000;
/** A lease that is not valid any more is again when a keep-alive has come through; the store does not tell, so it is looked at. */
const lookAgainMs = 200;

/**
 * Takes a lease, and another whenever it has ended. Listeners hear `obtained`, then `validChanged(true)`; `validChanged(false)`, then `lost`;
 * and nothing after `close`.
 */
export class KeptLease implements GatewayLease {
  readonly #options: KeptLeaseOptions;
  readonly #backoff: Backoff;
  readonly #retry = new WheelTimer(() => this.#take());
  readonly #validity = new WheelTimer(() => this.#lookAtValidity());
  /** Those who wait for the first one. */
  readonly #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #current: StoreLease | undefined;
  #obtainedMs = 0;
  /** The last one that was lost: who has the name now is to be found out before another is taken. */
  #lostEpoch: string | undefined;
  #toldValid = false;
  /** What is under way in the store. */
  #taking: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: KeptLeaseOptions) {
    this.#options = options;
    this.#backoff = new Backoff(storeRetry, options.random);
  }

  get current(): StoreLease | undefined {
    return this.#current;
  }

  get valid(): boolean {
    return this.#current !== undefined && this.#now() < this.#current.validUntilMs;
  }

  /** @throws HawserError (rejects) ERR_HAWSER_CLOSED when this or the store is closed before, ERR_HAWSER_ARGUMENT. */
  start(): Promise<void> {
    if (this.#current !== undefined) return Promise.resolve();
    if (this.#isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#take();
    });
  }

  discard(lease: StoreLease): void {
    if (lease !== this.#current) return;
    this.#lost(lease);
    this.#release(lease);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#options.wheel.cancel(this.#retry);
    this.#options.wheel.cancel(this.#validity);
    for (const { reject } of this.#waiting.splice(0)) reject(closedError());
    const lease = this.#current;
    this.#current = undefined;
    if (lease !== undefined) this.#release(lease);
    await this.#taking;
    await this.#releasing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #now(): number {
    return this.#options.wheel.clock.now();
  }

  // ---- Taking ------------------------------------------------------------------------------------------------------

  #take(): void {
    if (this.#isClosed || this.#taking !== undefined || this.#current !== undefined) return;
    this.#options.wheel.cancel(this.#retry);
    this.#taking = this.#lease().then(
      (lease) => {
        this.#taking = undefined;
        if (lease === undefined) this.#takeAgain(yieldMs);
        else this.#obtained(lease);
      },
      (error: unknown) => {
        this.#taking = undefined;
        if (isFinal(error)) this.#fail(error);
        else this.#takeAgain(this.#backoff.next());
      },
    );
  }

  #fail(error: unknown): void {
    if (this.#waiting.length === 0 && !this.#isClosed && !isClosedError(error)) throwLater(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #takeAgain(delayMs: number): void {
    if (!this.#isClosed) this.#options.wheel.schedule(this.#retry, this.#now() + delayMs);
  }

  /** @returns undefined when another gateway has the name. */
  async #lease(): Promise<StoreLease | undefined> {
    const { store, gateway, advertise, startedAt } = this.#options;
    if (this.#lostEpoch !== undefined && (await this.#isTaken(this.#lostEpoch))) {
      this.#lostEpoch = undefined;
      return undefined;
    }
    return await store.lease(gateway, (epoch) => encodeGateway({ epoch, advertise, startedAt }));
  }

  async #isTaken(lostEpoch: string): Promise<boolean> {
    const { store, gateway } = this.#options;
    const entry = await readKey(store, gatewayKey(gateway));
    return entry !== undefined && epochOf(entry) !== lostEpoch;
  }

  #obtained(lease: StoreLease): void {
    if (this.#isClosed) {
      this.#release(lease);
      return;
    }
    this.#current = lease;
    this.#obtainedMs = this.#now();
    lease.ended.addEventListener('abort', () => this.#lost(lease), { once: true });
    this.#options.listener.obtained(lease);
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    if (lease.ended.aborted) this.#lost(lease);
    this.#lookAtValidity();
  }

  // ---- Losing ------------------------------------------------------------------------------------------------------

  #lost(lease: StoreLease): void {
    if (lease !== this.#current) return;
    this.#current = undefined;
    this.#lostEpoch = lease.epoch;
    this.#options.wheel.cancel(this.#validity);
    this.#tell(false);
    this.#options.listener.lost(lease);
    if (this.#now() - this.#obtainedMs >= yieldMs) this.#backoff.reset();
    this.#takeAgain(this.#backoff.next());
  }

  /** What cannot be released ends by itself. */
  #release(lease: StoreLease): void {
    this.#releasing = lease.release().catch(() => undefined);
  }

  // ---- Validity ----------------------------------------------------------------------------------------------------

  #lookAtValidity(): void {
    const lease = this.#current;
    if (lease === undefined) return;
    const isValid = this.valid;
    this.#tell(isValid);
    if (lease !== this.#current) return;
    if (!isValid) this.#options.wheel.schedule(this.#validity, this.#now() + lookAgainMs);
    else if (Number.isFinite(lease.validUntilMs)) {
      this.#options.wheel.schedule(this.#validity, lease.validUntilMs);
    }
  }

  #tell(isValid: boolean): void {
    if (isValid === this.#toldValid) return;
    this.#toldValid = isValid;
    this.#options.listener.validChanged(isValid);
  }
}

/** What trying again does not help. */
function isFinal(error: unknown): boolean {
  return !(error instanceof HawserError) || isClosedError(error) || error.code === 'ERR_HAWSER_ARGUMENT';
}

/** Of a store that was closed before the gateway. */
function isClosedError(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_CLOSED';
}

function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the lease of the gateway is closed');
}

/** @returns undefined for what is no record of a gateway. */
function epochOf({ value }: StoreEntry): string | undefined {
  try {
    return decodeGateway(value).epoch;
  } catch {
    return undefined;
  }
}
