// The keys of other SAEs. Who an SAE is, is decided here alone: a key that came with a message counts for nothing.

import type { KeyObject } from 'node:crypto';
import { argumentError } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { isId } from './field-reader.js';
import { VerifyingKey } from './signatures.js';
import type { SaeWire } from './wire-name.js';

/** The pinned keys of the SAEs that use one wire. An SAE is in those of one wire only, or else who can speak by the other could speak for it. */
export class PinnedKeys {
  readonly #wire: SaeWire;
  readonly #keys = new Map<string, VerifyingKey>();
  /** Whose a key is, by its PEM. */
  readonly #owners = new Map<string, string>();

  constructor(wire: SaeWire) {
    this.#wire = wire;
  }

  /**
   * Pins a key; an SAE that has one gets another.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when the id is not 1 to 256 bytes of text, when the key is of no kind that the wire has (RSA only with
   * `sae-json`), or when another SAE has the same: each could speak for the other.
   */
  pin(saeId: string, publicKey: KeyObject): void {
    checkSaeId('saeId', saeId);
    const key = new VerifyingKey(publicKey, `the public key of ${JSON.stringify(saeId)}`);
    if (this.#wire === 'sae-json' && key.algorithm === 'ed25519') {
      throw new HawserError(
        'ERR_HAWSER_ARGUMENT',
        'an SAE with the wire sae-json has an RSA key; got one of Ed25519',
      );
    }
    const owner = this.#owners.get(key.compactPem) ?? saeId;
    if (owner !== saeId) {
      throw new HawserError(
        'ERR_HAWSER_ARGUMENT',
        `${JSON.stringify(saeId)} and ${JSON.stringify(owner)} have the same public key`,
      );
    }
    this.unpin(saeId);
    this.#keys.set(saeId, key);
    this.#owners.set(key.compactPem, saeId);
  }

  unpin(saeId: string): void {
    const key = this.#keys.get(saeId);
    if (key !== undefined) this.#owners.delete(key.compactPem);
    this.#keys.delete(saeId);
  }

  get(saeId: string): VerifyingKey | undefined {
    return this.#keys.get(saeId);
  }
}

/**
 * An id of an SAE.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkSaeId(name: string, value: unknown): string {
  if (isId(value)) return value;
  throw argumentError(name, '1 to 256 bytes of text that is not all blank', typeof value);
}
