// Key updates seen from JavaScript (docs/protocol.md section 13): the promises of those that this side began, and the
// answers to those of the other side.

import { argumentError, checkBytes, checkOptions } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { handleKey, keyUpdateStart, keyUpdateSuperseded, type NativeEndpoint } from './native.js';

/** Options of `Peer.updateKeys` and `Connection.updateKeys`. */
export interface KeyUpdateOptions {
  /** 32 secret bytes that both ends have from elsewhere, mixed into the new keys. They must be random: a password is not. */
  readonly secret?: Uint8Array;
  /**
   * 16 bytes, not all zero, by which the other end finds the secret. By default
   * `BLAKE2b-128("HAWSER 1 secret id\0" || secret)`.
   */
  readonly secretId?: Uint8Array;
}

/**
 * Gives the secret that the other end of `peer` names, 32 bytes, or undefined where there is none. After 5 s the update is
 * refused; whatever happens here, the connection stays.
 */
export type SecretSource<P> = (
  secretId: Uint8Array,
  peer: P,
) => Uint8Array | undefined | Promise<Uint8Array | undefined>;

/** What a {@link SecretSource} is told of the connection that asks. */
export interface SecretUser {
  /** Of the other end. */
  readonly address: string;
  /** The user's own, as on the peer or connection. */
  readonly data: unknown;
}

/** The same on a gateway. */
export interface PeerSecretUser extends SecretUser {
  /** As its token says. */
  readonly clientId: bigint;
}

/** What is told of a key update that is done. */
export interface KeyUpdateInfo {
  /** The new key epoch, from 1. */
  readonly epoch: number;
  /** The 16 bytes that name the secret that was mixed in; undefined when there was none. A copy. */
  readonly secretId: Uint8Array | undefined;
  /** Whether the other end began it. With a secret, that end has then proved to have it. */
  readonly byPeer: boolean;
}

const secretBytes = 32;
const secretIdBytes = 16;
const epochBytes = 4;

interface Waiting {
  readonly resolve: (epoch: number) => void;
  readonly reject: (error: HawserError) => void;
}

const refusals: Readonly<Record<number, string>> = {
  1: 'it has no secret of that id',
  2: 'it has another secret of that id',
  3: 'it did not find out in time whether it has the secret',
};

/** The updates that one socket's side has begun; one at most for each connection. */
export class KeyUpdates {
  readonly #native: NativeEndpoint;
  /** By `handleKey`; undefined until there is one. */
  #waiting: Map<number, Waiting> | undefined;

  constructor(native: NativeEndpoint) {
    this.#native = native;
  }

  /** `Peer.updateKeys` and `Connection.updateKeys`. @throws HawserError (rejects) as these say. */
  async begin(slot: number, generation: number, options: KeyUpdateOptions): Promise<number> {
    checkOptions('options', options, ['secret', 'secretId']);
    const { secret, secretId } = checkSecret(options);
    const start = this.#native.updateKeys(slot, generation, secret, secretId);
    switch (start) {
      case keyUpdateStart.begun:
        return new Promise((resolve, reject) => {
          this.#waiting ??= new Map();
          this.#waiting.set(handleKey(slot, generation), { resolve, reject });
        });
      case keyUpdateStart.busy:
        throw new HawserError('ERR_HAWSER_KEY_UPDATE_BUSY', 'a key update is under way, or has just been');
      case keyUpdateStart.unsupported:
        throw new HawserError('ERR_HAWSER_KEY_UPDATE_REFUSED', 'the other end does not know of key updates');
      default:
        throw notConnected();
    }
  }

  /** @param epoch 0 when a listener has transferred the slab of the batch away. */
  updated(slot: number, generation: number, epoch: number): void {
    this.#take(slot, generation)?.resolve(epoch);
  }

  refused(slot: number, generation: number, reason: number): void {
    const waiting = this.#take(slot, generation);
    if (reason === keyUpdateSuperseded) {
      const message = "the gateway's own key update came first, without the secret";
      waiting?.reject(new HawserError('ERR_HAWSER_KEY_UPDATE_BUSY', message));
    } else {
      const message = `the other end refused the key update: ${refusals[reason] ?? `reason ${reason}`}`;
      waiting?.reject(new HawserError('ERR_HAWSER_KEY_UPDATE_REFUSED', message));
    }
  }

  ended(slot: number, generation: number): void {
    this.#take(slot, generation)?.reject(notConnected());
  }

  /** The socket is closed. */
  stopped(): void {
    for (const waiting of this.#waiting?.values() ?? []) waiting.reject(notConnected());
    this.#waiting = undefined;
  }

  /**
   * Answers what the other end asked for. `look` finds the secret; what it throws goes to `report`. A `secretId` that went
   * away with the slab of its batch gets no answer: the update is refused after 5 s.
   */
  async provide(
    slot: number,
    generation: number,
    secretId: Uint8Array,
    look: (secretId: Uint8Array) => unknown,
    report: (error: unknown) => void,
  ): Promise<void> {
    if (secretId.length !== secretIdBytes) return;
    const id = secretId.slice();
    let secret: Uint8Array | null = null;
    try {
      const found = await look(id.slice());
      if (found !== undefined) secret = checkBytes('the answer of secretOf', found, secretBytes, secretBytes);
    } catch (error) {
      report(error);
    }
    this.#native.provideSecret(slot, generation, id, secret);
  }

  #take(slot: number, generation: number): Waiting | undefined {
    const key = handleKey(slot, generation);
    const waiting = this.#waiting?.get(key);
    this.#waiting?.delete(key);
    return waiting;
  }
}

/**
 * @param argument @param bytes of a keyUpdated event.
 * @returns undefined when a listener has transferred the slab of the batch away.
 */
export function readKeyUpdate(argument: number, bytes: Uint8Array): KeyUpdateInfo | undefined {
  if (bytes.length < epochBytes + secretIdBytes) return undefined;
  const epoch = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
  const id = bytes.slice(epochBytes, epochBytes + secretIdBytes);
  return { epoch, secretId: id.every((byte) => byte === 0) ? undefined : id, byPeer: argument === 1 };
}

function checkSecret(options: KeyUpdateOptions): {
  readonly secret: Uint8Array | null;
  readonly secretId: Uint8Array | null;
} {
  const { secret, secretId } = options;
  if (secret !== undefined) checkBytes('secret', secret, secretBytes, secretBytes);
  if (secretId !== undefined) {
    checkBytes('secretId', secretId, secretIdBytes, secretIdBytes);
    if (secretId.every((byte) => byte === 0)) throw argumentError('secretId', 'not all zero', 'zeros');
    if (secret === undefined) throw argumentError('secretId', 'left out without a secret', 'no secret');
  }
  return { secret: secret ?? null, secretId: secretId ?? null };
}

function notConnected(): HawserError {
  return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'keys can be updated while connected only');
}
