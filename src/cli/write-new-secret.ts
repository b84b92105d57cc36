import { writeFileSync } from 'node:fs';
import { CommandError, systemCode, systemReason } from './errors.js';

/**
 * Writes a file that only its owner can read, and never over another one.
 *
 * @param advice what to do when there is a file already; completes "... exists already".
 * @throws CommandError when it cannot be written.
 */
export function writeNewSecret(path: string, content: string | Uint8Array, advice: string): void {
  try {
    writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new CommandError(
      systemCode(error) === 'EEXIST'
        ? `${path} exists already${advice}`
        : `cannot write ${path}: ${systemReason(error)}`,
    );
  }
}
