// The keys that a pair of development KMEs shares. A real pair makes them by quantum key distribution; here they are random bytes, made when
// they are delivered first, and kept until they are delivered for the last time.

import { randomUUID } from 'node:crypto';
import {
  argumentError,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptions,
  describe,
} from '../../base/check.js';
import { type Clock, systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { randomSecret, type SecretBytes } from '../../base/secret-bytes.js';
import { TokenBucket } from '../../base/token-bucket.js';
import type { DeliveredKey } from './key-source.js';

/** Options of {@link KeyPool}. Sizes of keys are in bits. */
export interface KeyPoolOptions {
  /** How many keys it holds at most, and at first: `max_key_count`. 1 to 1,000,000; 10,000 by default. */
  readonly capacity?: number;
  /** How many new ones come in a second: 0 to 1,000,000; 100 by default. */
  readonly refillPerSecond?: number;
  /** `key_size`: a multiple of 8 from `minKeySizeBits` to `maxKeySizeBits`; 256 by default. */
  readonly keySizeBits?: number;
  /** `min_key_size`: 16 to 4096; 64 by default. */
  readonly minKeySizeBits?: number;
  /** `max_key_size`: up to 4096, which is the default. */
  readonly maxKeySizeBits?: number;
  /** `max_key_per_request`: 1 to 1024; 128 by default. */
  readonly maxKeysPerRequest?: number;
  /** `max_SAE_ID_count`: how many slaves beside the first may have the same keys, 0 to 64; 0 by default. */
  readonly maxSaeIdCount?: number;
  /** How many keys may wait for their slaves: 1 to 1,000,000; 10,000 by default. Beyond that there are no new ones. */
  readonly maxWaiting?: number;
  /** How long a key waits for its slaves, in milliseconds: 1000 to 86,400,000; 3,600,000 by default. */
  readonly waitingMs?: number;
  /** What keys' ages are told by; the system's by default. */
  readonly clock?: Clock;
}

/** The options, checked and complete. */
export type KeyPoolLimits = Required<Omit<KeyPoolOptions, 'clock'>>;

/** Why nothing was delivered by id: a key that is not there, or one that is for others. */
export type CollectRefusal = 'unknown' | 'unauthorised';

interface WaitingKey {
  readonly material: SecretBytes;
  /** The SAE that it was delivered to as the master. */
  readonly masterSaeId: string;
  /** Who has not got it yet. */
  readonly slaves: Set<string>;
  readonly untilMs: number;
}

const names = [
  'capacity',
  'refillPerSecond',
  'keySizeBits',
  'minKeySizeBits',
  'maxKeySizeBits',
  'maxKeysPerRequest',
  'maxSaeIdCount',
  'maxWaiting',
  'waitingMs',
  'clock',
] as const;

const minKeyBits = 16;
/** Its base64 has to find room in secret memory too. */
const maxKeyBits = 4096;

/** The keys of one link that two KMEs for tests share. */
export class KeyPool {
  /** How many keys it has, and of what sizes. */
  readonly limits: KeyPoolLimits;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  /** By id, the oldest first. */
  readonly #waiting = new Map<string, WaitingKey>();
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: KeyPoolOptions = {}) {
    this.limits = checkLimits(options);
    this.#clock = options.clock ?? systemClock;
    checkFunction('clock.now', this.#clock.now);
    const { capacity, refillPerSecond } = this.limits;
    this.#bucket = new TokenBucket(Math.max(refillPerSecond, Number.MIN_VALUE), capacity, this.#clock.now());
  }

  /** `stored_key_count`: how many keys could be delivered now. */
  get stored(): number {
    return this.#bucket.available(this.#clock.now());
  }

  /** How many keys wait for their slaves. */
  get waiting(): number {
    this.#expire();
    return this.#waiting.size;
  }

  /**
   * Get key: takes new keys, all or none.
   *
   * @param wanted how many, for whom, and of how many bits; `slaves` may collect them.
   * @param use has the keys for as long as it runs.
   * @returns undefined when there are not so many.
   */
  take<T>(
    wanted: {
      readonly masterSaeId: string;
      readonly slaves: readonly string[];
      readonly number: number;
      readonly sizeBits: number;
    },
    use: (keys: readonly DeliveredKey[]) => T,
  ): T | undefined {
    this.#throwIfClosed();
    this.#expire();
    const { masterSaeId, slaves, number, sizeBits } = wanted;
    const nowMs = this.#clock.now();
    if (this.#waiting.size + number > this.limits.maxWaiting) return undefined;
    if (!this.#bucket.take(number, nowMs)) return undefined;
    const keys = Array.from({ length: number }, () => ({
      keyId: randomUUID(),
      material: randomSecret(sizeBits / 8),
    }));
    for (const { keyId, material } of keys) {
      const untilMs = nowMs + this.limits.waitingMs;
      this.#waiting.set(keyId, { material, masterSaeId, slaves: new Set(slaves), untilMs });
    }
    return use(keys);
  }

  /**
   * Get key with key IDs: delivers keys that `take` made, all or none, each once to each slave.
   *
   * @param use has the keys for as long as it runs, in the order of the ids.
   */
  collect<T>(
    slaveSaeId: string,
    masterSaeId: string,
    keyIds: readonly string[],
    use: (keys: readonly DeliveredKey[]) => T,
  ): T | CollectRefusal {
    this.#throwIfClosed();
    this.#expire();
    const found = keyIds.flatMap((keyId) => {
      const key = this.#waiting.get(keyId);
      return key?.masterSaeId === masterSaeId ? [{ keyId, key }] : [];
    });
    if (found.some(({ key }) => !key.slaves.has(slaveSaeId))) return 'unauthorised';
    if (found.length !== keyIds.length) return 'unknown';
    try {
      return use(found.map(({ keyId, key }) => ({ keyId, material: key.material })));
    } finally {
      for (const { keyId, key } of found) this.#delivered(keyId, key, slaveSaeId);
    }
  }

  #delivered(keyId: string, key: WaitingKey, slaveSaeId: string): void {
    key.slaves.delete(slaveSaeId);
    if (key.slaves.size === 0) this.#forget(keyId, key);
  }

  #forget(keyId: string, { material }: WaitingKey): void {
    this.#waiting.delete(keyId);
    material.wipe();
  }

  #expire(): void {
    const nowMs = this.#clock.now();
    for (const [keyId, key] of this.#waiting) {
      if (key.untilMs > nowMs) return;
      this.#forget(keyId, key);
    }
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the key pool is closed');
  }

  /** Wipes every key. Closing twice is closing once. */
  close(): void {
    this.#closed = true;
    for (const [keyId, key] of this.#waiting) this.#forget(keyId, key);
  }
}

function checkLimits(options: KeyPoolOptions): KeyPoolLimits {
  checkOptions('options', options, names);
  const size = (name: string, value: number, min: number, max: number): number => {
    checkInteger(name, value, min, max);
    if (value % 8 === 0) return value;
    throw argumentError(name, 'a multiple of 8', describe(value));
  };
  const maxKeySizeBits = size('maxKeySizeBits', options.maxKeySizeBits ?? maxKeyBits, minKeyBits, maxKeyBits);
  const minKeySizeBits = size(
    'minKeySizeBits',
    options.minKeySizeBits ?? Math.min(64, maxKeySizeBits),
    minKeyBits,
    maxKeySizeBits,
  );
  return {
    capacity: checkInteger('capacity', options.capacity ?? 10_000, 1, 1_000_000),
    refillPerSecond: checkNumber('refillPerSecond', options.refillPerSecond ?? 100, 0, 1_000_000),
    keySizeBits: size('keySizeBits', options.keySizeBits ?? 256, minKeySizeBits, maxKeySizeBits),
    minKeySizeBits,
    maxKeySizeBits,
    maxKeysPerRequest: checkInteger('maxKeysPerRequest', options.maxKeysPerRequest ?? 128, 1, 1024),
    maxSaeIdCount: checkInteger('maxSaeIdCount', options.maxSaeIdCount ?? 0, 0, 64),
    maxWaiting: checkInteger('maxWaiting', options.maxWaiting ?? 10_000, 1, 1_000_000),
    waitingMs: checkInteger('waitingMs', options.waitingMs ?? 3_600_000, 1000, 86_400_000),
  };
}
