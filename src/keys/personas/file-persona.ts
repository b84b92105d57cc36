// A directory in which programs find the key to use, as `current`, and those that the other side may still use.

import { isAbsolute, join } from 'node:path';
import {
  argumentError,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { deviceError } from './device-error.js';
import { fileNameOf } from './file-names.js';
import { type KeyEncoding, keyEncodings, withEncoded } from './key-encoding.js';
import { KeyFiles } from './key-files.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './persona.js';

/** Options of {@link FilePersona}. */
export interface FilePersonaOptions {
  /** An absolute path, of this SAE alone: each peer has a directory in it, by its id. It is made, with mode 0700, when it is not there. */
  readonly directory: string;
  /** What is in the files: `binary` by default. */
  readonly encoding?: KeyEncoding;
}

const optionNames = ['directory', 'encoding'] as const;

/**
 * Keeps `<directory>/<peer>/keys/<key id>` for each live key, and `<directory>/<peer>/current`, which is one of them. What a reader opens is
 * one whole key or none. All of it is on the disk: a process that is ended in the middle, or starts again, goes on from there.
 */
export class FilePersona implements Persona {
  readonly name = 'file';
  readonly #directory: string;
  readonly #encoding: KeyEncoding;
  readonly #opened = new Map<string, KeyFiles>();

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: FilePersonaOptions) {
    checkOptions('options', options, optionNames);
    this.#directory = checkString('directory', options.directory, 1);
    if (!isAbsolute(this.#directory))
      throw argumentError('directory', 'an absolute path', describe(this.#directory));
    this.#encoding = checkOneOf('encoding', options.encoding ?? 'binary', keyEncodings);
  }

  /** Every size suits. */
  validate(keySizeBits: number): void {
    checkInteger('keySizeBits', keySizeBits, 8, Number.MAX_SAFE_INTEGER);
  }

  async preConfigure(key: DeviceKey, context: PersonaContext): Promise<void> {
    await this.#do(`the key ${key.keyId} cannot be written`, context, async (files) => {
      await withEncoded(key.material, this.#encoding, (pieces) => files.put(key.keyId, pieces));
    });
  }

  async rotate(key: DeviceKey | undefined, context: PersonaContext): Promise<void> {
    await this.#do("'current' cannot be changed", context, async (files) => {
      if (key !== undefined && !(await files.has(key.keyId))) {
        await withEncoded(key.material, this.#encoding, (pieces) => files.put(key.keyId, pieces));
      }
      await files.setCurrent(key?.keyId ?? null);
    });
  }

  async deleteKey(keyId: string, context: PersonaContext): Promise<void> {
    await this.#do(`the key ${keyId} cannot be deleted`, context, async (files) => {
      if (await files.isCurrent(keyId)) throw deviceError(this.name, `the key ${keyId} is in use`);
      await files.delete(keyId);
    });
  }

  /** Whether its directory can be written. */
  async status(context: PersonaContext): Promise<DeviceStatus> {
    return this.#do('the directory cannot be read', context, async (files) => {
      const [liveKeyIds, currentKeyId] = [await files.list(), await files.current()];
      const service = `file: ${liveKeyIds.length} live keys, ${currentKeyId === null ? 'none' : 'one'} in use`;
      return { connected: true, service, currentKeyId, liveKeyIds };
    });
  }

  async testConnection(context: PersonaContext): Promise<boolean> {
    try {
      await this.status(context);
      return true;
    } catch {
      return false;
    }
  }

  /** There is no `current` any more. A program that has read it must be told by other means. */
  async failClosed(context: PersonaContext): Promise<void> {
    await this.rotate(undefined, context);
  }

  async #do<T>(
    failure: string,
    { peerSaeId, signal }: PersonaContext,
    work: (files: KeyFiles) => Promise<T>,
  ): Promise<T> {
    if (signal.aborted) throw deviceError(this.name, `${failure}: the time for it is over`);
    try {
      let files = this.#opened.get(peerSaeId);
      if (files === undefined) {
        files = new KeyFiles(join(this.#directory, fileNameOf(peerSaeId)));
        await files.open();
        this.#opened.set(peerSaeId, files);
      }
      return await work(files);
    } catch (cause) {
      throw cause instanceof HawserError ? cause : deviceError(this.name, failure, cause);
    }
  }
}
