// Ids as file names: one name for one id, and none that leads elsewhere.

import { createHash } from 'node:crypto';

/** Below the 255 bytes that file systems have, with room for more. */
const maxNameLength = 200;
const hashPrefix = '%sha256-';

/**
 * Letters, digits, `_`, `-`, and `.` but at the beginning, stay as they are; of all else each byte of UTF-8 becomes `%` and two digits. What
 * gets longer than 200 characters is named by its SHA-256.
 *
 * @param id 1 character or more.
 */
export function fileNameOf(id: string): string {
  const name = Array.from(Buffer.from(id), (byte, index) => {
    const character = String.fromCharCode(byte);
    const plain = /[A-Za-z0-9_-]/.test(character) || (character === '.' && index > 0);
    return plain ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }).join('');
  if (name.length <= maxNameLength) return name;
  return `${hashPrefix}${createHash('sha256').update(id).digest('hex')}`;
}

/** The id of which {@link fileNameOf} made this name; the name itself where it is a hash, or no such name. */
export function idOf(name: string): string {
  if (name.startsWith(hashPrefix)) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
