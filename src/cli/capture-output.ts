// Where a capture goes: a file that only its owner can read, or standard output.

import { once } from 'node:events';
import { type FileHandle, lstat, open, rm } from 'node:fs/promises';
import { CommandError, systemCode, systemReason } from './errors.js';

/** Takes whole blocks, in order. */
export interface CaptureOutput {
  /** Resolves when there is room for more. @throws CommandError (rejects). */
  write(blocks: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param path `-` for standard output; a pipe or a device is written to as it is. @param force whether a file that is there is replaced.
 * @throws CommandError when the file cannot be made, or is there (rejects).
 */
export async function openCaptureOutput(path: string, force: boolean): Promise<CaptureOutput> {
  return path === '-' ? standardOutput : new CaptureFile(path, await createFile(path, force));
}

async function createFile(path: string, force: boolean): Promise<FileHandle> {
  try {
    if (await isPassedOn(path)) return await open(path, 'w');
    // What was there keeps its owner and mode, and a link leads elsewhere: the new one is another file.
    if (force) await rm(path, { force: true });
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw new CommandError(
      systemCode(error) === 'EEXIST'
        ? `${path} exists already; choose another file, or replace it with --force`
        : `cannot write ${path}: ${systemReason(error)}`,
    );
  }
}

/** A named pipe or a device keeps nothing that could be lost. */
async function isPassedOn(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined && (found.isFIFO() || found.isCharacterDevice());
}

class CaptureFile implements CaptureOutput {
  readonly #path: string;
  readonly #file: FileHandle;
  #written = 0;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async write(blocks: Uint8Array): Promise<void> {
    try {
      await this.#file.writeFile(blocks);
      this.#written += blocks.length;
    } catch (error) {
      // What was written of these blocks would make the file look damaged.
      await this.#file.truncate(this.#written).catch(() => undefined);
      throw new CommandError(`cannot write ${this.#path}: ${systemReason(error)}`);
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

const standardOutput: CaptureOutput = {
  write: async (blocks) => {
    if (!process.stdout.write(blocks)) await once(process.stdout, 'drain');
  },
  close: async () => undefined,
};
