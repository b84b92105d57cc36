// Where keys come from: a key management entity (KME), by ETSI GS QKD 014 V1.1.1.

import type { SecretBytes } from '../../base/secret-bytes.js';

/** `Status` of clause 6.1, with the field names of this package. Sizes are in bits. */
export interface KmeStatus {
  /** The KME that answers. */
  readonly sourceKmeId: string;
  /** The KME of the other SAE. */
  readonly targetKmeId: string;
  /** The SAE that asks. */
  readonly masterSaeId: string;
  /** The other SAE. */
  readonly slaveSaeId: string;
  /** The size of keys when none is asked for. */
  readonly keySizeBits: number;
  /** How many keys wait for the two. */
  readonly storedKeyCount: number;
  /** How many can wait. */
  readonly maxKeyCount: number;
  /** How many a request may ask for. */
  readonly maxKeysPerRequest: number;
  /** The longest key. */
  readonly maxKeySizeBits: number;
  /** The shortest key. */
  readonly minKeySizeBits: number;
  /** How many more slaves a request may name; 0 for none. */
  readonly maxSaeIdCount: number;
}

/** A key as a KME delivered it. Who takes it wipes it. */
export interface DeliveredKey {
  /** Its UUID. */
  readonly keyId: string;
  /** The key itself. */
  readonly material: SecretBytes;
}

/** What every call can be given. */
export interface KeySourceCallOptions {
  /** Gives the call up when it aborts. */
  readonly signal?: AbortSignal;
}

/**
 * What an SAE asks. All of them reject with ERR_HAWSER_KME_UNAVAILABLE when another attempt may succeed (503, timeouts, no connection), with
 * ERR_HAWSER_KME_REFUSED when it may not (400, 401), with ERR_HAWSER_KEY_UNAVAILABLE when keys of that id are not there (any more), with
 * ERR_HAWSER_PROTOCOL for an answer that is none, ERR_HAWSER_TLS, ERR_HAWSER_ABORTED.
 */
export interface KeySource {
  /** Get status. @param slaveSaeId the other SAE. */
  status(slaveSaeId: string, options?: KeySourceCallOptions): Promise<KmeStatus>;
  /** Get key, as the master. @param slaveSaeId the other SAE. @returns exactly `number` keys with different ids. */
  getKeys(
    slaveSaeId: string,
    wanted: { readonly number: number; readonly sizeBits?: number },
    options?: KeySourceCallOptions,
  ): Promise<readonly DeliveredKey[]>;
  /**
   * Get key with key IDs, as the slave. A key is delivered once: after an answer that was lost it is gone, so nothing is asked for twice.
   *
   * @param masterSaeId the other SAE.
   * @returns one key for each id, in their order.
   */
  getKeysWithIds(
    masterSaeId: string,
    keyIds: readonly string[],
    options?: KeySourceCallOptions,
  ): Promise<readonly DeliveredKey[]>;
}
