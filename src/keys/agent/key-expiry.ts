// Keys that may not be used any more: those that never were are deleted, and one in production is told of, or stops the traffic.

import type { KeyRecord, KeyStore } from '../store/store.js';
import type { CallFor, DeviceCalls } from './device-calls.js';
import { productionOf } from './device-restore.js';
import type { PeerClock } from './peer-clock.js';
import type { PeerSettings } from './peer-options.js';

export interface KeyExpiryParts {
  readonly settings: PeerSettings;
  readonly store: KeyStore;
  readonly device: DeviceCalls;
  readonly clock: PeerClock;
  readonly keyExpired: (keyId: string) => void;
  readonly failedClosed: () => void;
  readonly failed: (source: 'store' | 'device', error: unknown) => void;
}

/** Until the store or the device is tried again. */
const retryMs = 1000;

/** Its calls come between the steps of the sessions, never during an operation: a device that rotates is not stopped meanwhile. */
export class KeyExpiry {
  readonly #parts: KeyExpiryParts;
  /** The last key in production that was told of as expired. */
  #toldOf: string | undefined;
  /** Of the key, or the lack of one, for which traffic is stopped. */
  #closedFor: string | null | undefined;
  /** By the monotonic clock: what failed is tried again however the clock of the machine is set meanwhile. */
  #retryAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: KeyExpiryParts) {
    this.#parts = parts;
  }

  /** Whether traffic is stopped. */
  get isClosed(): boolean {
    return this.#closedFor !== undefined;
  }

  /** The device is to send under a key again. */
  opened(): void {
    this.#closedFor = undefined;
  }

  /** When `check` has something to do; Infinity for never. */
  get dueMs(): number {
    const { settings, store } = this.#parts;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const key of store.keys(settings.peerSaeId)) {
      const isWaiting = key.status === 'available' || (key.status === 'in_production' && !this.#isDone(key));
      if (isWaiting && key.expiresAtMs !== null) dueMs = Math.min(dueMs, key.expiresAtMs);
    }
    if (this.#lacksKey()) dueMs = 0;
    return Math.max(dueMs, this.#parts.clock.unixOf(this.#retryAtMs));
  }

  /** Does what is due. Never rejects. */
  async check(): Promise<void> {
    const { settings, store, clock } = this.#parts;
    const nowMs = clock.nowMs();
    this.#retryAtMs = Number.NEGATIVE_INFINITY;
    const expired = store
      .keys(settings.peerSaeId)
      .filter((key) => key.expiresAtMs !== null && key.expiresAtMs <= nowMs);
    await this.#remove(expired.filter((key) => key.status === 'available'));
    const production = expired.find((key) => key.status === 'in_production');
    if (production !== undefined) await this.#expire(production);
    else if (this.#lacksKey()) await this.#failClosed(null);
  }

  #lacksKey(): boolean {
    const { settings, store } = this.#parts;
    const isOpen = settings.failClosed && this.#closedFor === undefined;
    return isOpen && productionOf(store, settings.peerSaeId) === undefined;
  }

  #isDone({ keyId }: KeyRecord): boolean {
    return this.#toldOf === keyId && (!this.#parts.settings.failClosed || this.#closedFor === keyId);
  }

  async #remove(keys: readonly KeyRecord[]): Promise<void> {
    const { settings, store, device, failed } = this.#parts;
    const remove: string[] = [];
    for (const { keyId } of keys) {
      // A session that came to nothing may have left it at the device: one that is not in the store would stay there for ever.
      const outcome = await device.deleteKey(keyId, this.#call());
      if (outcome.ok) remove.push(keyId);
      else {
        this.#retryLater();
        failed('device', outcome.error);
      }
    }
    if (remove.length === 0) return;
    try {
      await store.commit({ peerSaeId: settings.peerSaeId, remove });
    } catch (error) {
      this.#retryLater();
      failed('store', error);
    }
  }

  async #expire({ keyId }: KeyRecord): Promise<void> {
    const { settings, keyExpired } = this.#parts;
    if (this.#toldOf !== keyId) {
      this.#toldOf = keyId;
      keyExpired(keyId);
    }
    if (settings.failClosed && this.#closedFor !== keyId) await this.#failClosed(keyId);
  }

  async #failClosed(keyId: string | null): Promise<void> {
    const { device, failedClosed, failed } = this.#parts;
    const outcome = await device.failClosed(this.#call());
    if (!outcome.ok) {
      this.#retryLater();
      failed('device', outcome.error);
      return;
    }
    this.#closedFor = keyId;
    if (outcome.value) failedClosed();
  }

  #call(): CallFor {
    const { settings, clock } = this.#parts;
    return {
      role: settings.role === 'master' ? 'master' : 'slave',
      sessionId: undefined,
      untilMs: clock.nowMs() + settings.deviceTimeoutMs,
    };
  }

  #retryLater(): void {
    const { clock } = this.#parts;
    this.#retryAtMs = clock.monotonicOf(clock.nowMs() + retryMs);
  }
}
