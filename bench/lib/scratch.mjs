// Folders for the stores of a run: in the project's own build folder, which is on a disk, as the system's temporary folder may not be.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const parent = fileURLToPath(new URL('../../build/bench', import.meta.url));

/**
 * @template T
 * @param {(folder: string) => Promise<T>} work
 * @returns {Promise<T>} what `work` gives; the folder is gone then
 */
export async function withScratch(work) {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'run-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
