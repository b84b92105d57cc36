// KMEs that share keys: each delivers a key once to each side, or fails, or delivers and is not heard.

import { createHash, randomUUID } from 'node:crypto';
import { HawserError } from '../../src/base/errors.js';
import { type SecretBytes, secretFrom } from '../../src/base/secret-bytes.js';
import type { DeliveredKey, KeySource, KmeStatus } from '../../src/keys/kme/key-source.js';
import type { Dice } from '../interaction/simulated-home.js';

export interface KmeFaults {
  /** How likely an answer is to be 503, never to come, or to be lost after the keys were delivered. */
  rate: number;
  delayMs: number;
}

export class SimulatedKmes {
  readonly faults: KmeFaults;
  /** All material that was handed out: nothing of it may be left in the end. */
  readonly delivered: SecretBytes[] = [];
  readonly #dice: Dice;
  /** Keys that the other side has not got yet. */
  readonly #waiting = new Map<string, string>();

  constructor(dice: Dice, faults: KmeFaults) {
    this.#dice = dice;
    this.faults = faults;
  }

  /** The bytes of a key: made of its id, so that both sides and every test know them. */
  static bytesOf(keyId: string): Buffer {
    return createHash('sha256').update(keyId).digest();
  }

  /** That of one process. @param pause waits for that long, and rejects when the process is gone. */
  source(saeId: string, pause: (ms: number, signal?: AbortSignal) => Promise<void>): KeySource {
    const ask = async (
      signal: AbortSignal | undefined,
      answer: () => readonly DeliveredKey[],
    ): Promise<readonly DeliveredKey[]> => {
      const dice = this.#dice;
      await pause(dice.magnitude(1, this.faults.delayMs), signal);
      const isBad = dice.chance(this.faults.rate);
      const fault = isBad ? dice.pick(['503', '503', 'silent', 'lost'] as const) : undefined;
      if (fault === '503') throw new HawserError('ERR_HAWSER_KME_UNAVAILABLE', '503');
      if (fault === 'silent') await pause(600_000, signal);
      const answered = answer();
      if (fault !== 'lost') return answered;
      for (const { material } of answered) material.wipe();
      throw new HawserError('ERR_HAWSER_KEY_UNAVAILABLE', 'the answer was lost');
    };
    return {
      status: () => Promise.reject<KmeStatus>(new HawserError('ERR_HAWSER_KME_UNAVAILABLE', 'not simulated')),
      getKeys: (slave, { number }, { signal } = {}) =>
        ask(signal, () =>
          Array.from({ length: number }, () => {
            const keyId = randomUUID();
            this.#waiting.set(keyId, `${slave} ${saeId}`);
            return this.#deliver(keyId);
          }),
        ),
      getKeysWithIds: (master, keyIds, { signal } = {}) =>
        ask(signal, () => {
          const isThere = keyIds.every((keyId) => this.#waiting.get(keyId) === `${saeId} ${master}`);
          if (!isThere) throw new HawserError('ERR_HAWSER_KEY_UNAVAILABLE', '400: keys are not found');
          for (const keyId of keyIds) this.#waiting.delete(keyId);
          return keyIds.map((keyId) => this.#deliver(keyId));
        }),
    };
  }

  #deliver(keyId: string): DeliveredKey {
    const material = secretFrom(SimulatedKmes.bytesOf(keyId));
    this.delivered.push(material);
    return { keyId, material };
  }
}
