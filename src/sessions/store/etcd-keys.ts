// Keys of a store as those of etcd, and back.

import { HawserError } from '../../base/errors.js';
import type { StoreEntry } from './store.js';

/** A key of etcd, or a range of them. */
export interface EtcdRange {
  readonly key: Buffer;
  /** Before this one. */
  readonly range_end?: Buffer;
}

/** What of a key and its value etcd tells. */
export interface EtcdEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly mod_revision: string;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The keys that begin with a namespace: those of the store lie under `sessions/`, what tells the format beside them. */
export class EtcdKeys {
  /** Under which is said of what format the store is. */
  readonly format: Buffer;
  readonly #prefix: string;
  readonly #prefixBytes: number;

  constructor(namespace: string) {
    this.format = Buffer.from(`${namespace}format`);
    this.#prefix = `${namespace}sessions/`;
    this.#prefixBytes = Buffer.byteLength(this.#prefix);
  }

  key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  range(from: string, to: string): EtcdRange {
    return { key: this.key(from), range_end: this.key(to) };
  }

  /** Every key that begins with `prefix`. */
  prefix(prefix: string): EtcdRange {
    const key = this.key(prefix);
    const end = Buffer.from(key);
    // No byte of UTF-8 is 255, which could not be counted up.
    end[end.length - 1] = (end.at(-1) ?? 0) + 1;
    return { key, range_end: end };
  }

  /** @throws HawserError ERR_HAWSER_STORE_FORMAT when the key is no text: somebody else has written it. */
  textOf(key: Buffer): string {
    try {
      return strictUtf8.decode(key.subarray(this.#prefixBytes));
    } catch (cause) {
      throw new HawserError('ERR_HAWSER_STORE_FORMAT', 'a key of the store is not UTF-8', { cause });
    }
  }

  entryOf({ key, value, mod_revision }: EtcdEntry): StoreEntry {
    // A copy: the bytes are a part of the whole message, and would keep all of it in memory.
    return { key: this.textOf(key), value: new Uint8Array(value), revision: revisionOf(mod_revision) };
  }
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT beyond 2^53 - 1. */
export function revisionOf(text: string): number {
  const revision = Number(text);
  if (Number.isSafeInteger(revision)) return revision;
  throw new HawserError('ERR_HAWSER_STORE_FORMAT', 'a revision of etcd is beyond 2^53 - 1');
}
