// Two KMEs that share keys, without a network.

import { randomBytes, randomUUID } from 'node:crypto';
import { HawserError, type HawserErrorCode } from '../../../src/base/errors.js';
import { secretFrom } from '../../../src/base/secret-bytes.js';
import type { DeliveredKey, KeySource, KmeStatus } from '../../../src/keys/kme/key-source.js';

/** What becomes of a request: it fails, or what is delivered is changed. */
export type Fault =
  | { readonly fails: HawserErrorCode; readonly consumed?: boolean }
  | { readonly change: (keys: DeliveredKey[]) => DeliveredKey[] };

export class TestKeyPool {
  readonly #keys = new Map<string, Buffer>();
  /** Every key that was ever delivered, for tests that look for them where they must not be. */
  readonly delivered: { readonly keyId: string; readonly bytes: Buffer }[] = [];
  /** For the next requests, one after the other; undefined: nothing is wrong with that one. */
  readonly faults: (Fault | undefined)[] = [];
  /** What was asked. */
  readonly requests: string[] = [];
  /** Held back until it resolves. */
  gate: Promise<void> | undefined;

  /** The KME of one SAE. */
  source(): KeySource {
    return {
      status: () => Promise.resolve<KmeStatus>(status),
      getKeys: (slave, { number, sizeBits = 256 }) =>
        this.#answer(`enc ${slave} ${number}`, () =>
          Array.from({ length: number }, () => {
            const keyId = randomUUID();
            const bytes = randomBytes(sizeBits / 8);
            this.#keys.set(keyId, bytes);
            return this.#deliver(keyId, bytes);
          }),
        ),
      getKeysWithIds: (master, keyIds) =>
        this.#answer(`dec ${master} ${keyIds.length}`, () => {
          if (!keyIds.every((keyId) => this.#keys.has(keyId))) {
            throw new HawserError(
              'ERR_HAWSER_KEY_UNAVAILABLE',
              'one or more keys specified are not found on KME',
            );
          }
          return keyIds.map((keyId) => {
            const bytes = this.#keys.get(keyId) ?? Buffer.alloc(0);
            this.#keys.delete(keyId);
            return this.#deliver(keyId, bytes);
          });
        }),
    };
  }

  async #answer(request: string, deliver: () => DeliveredKey[]): Promise<DeliveredKey[]> {
    this.requests.push(request);
    await this.gate;
    const fault = this.faults.shift();
    if (fault === undefined) return deliver();
    if ('change' in fault) return fault.change(deliver());
    if (fault.consumed === true) for (const { material } of deliver()) material.wipe();
    throw new HawserError(fault.fails, 'as the test has it');
  }

  #deliver(keyId: string, bytes: Buffer): DeliveredKey {
    this.delivered.push({ keyId, bytes: Buffer.from(bytes) });
    return { keyId, material: secretFrom(Buffer.from(bytes)) };
  }
}

const status: KmeStatus = {
  sourceKmeId: 'KME_A',
  targetKmeId: 'KME_B',
  masterSaeId: 'A',
  slaveSaeId: 'B',
  keySizeBits: 256,
  storedKeyCount: 100,
  maxKeyCount: 100,
  maxKeysPerRequest: 16,
  maxKeySizeBits: 8192,
  minKeySizeBits: 64,
  maxSaeIdCount: 0,
};
