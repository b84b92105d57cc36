// What must go with copies of the binaries: the notices of what is linked into them, as the sources of it have them.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/process.mjs';
import { fetchLibsodium } from './libsodium-source.mjs';
import { prebuildFile, targets } from './targets.mjs';
import { zigLicence } from './toolchain.mjs';

/** Packed with the binaries. */
export const noticesFile = join(root, 'prebuilds', 'NOTICES.txt');

/** Debian keeps it for every package that is installed, with all of its licences. */
const noticesOfMingw = '/usr/share/doc/mingw-w64-x86-64-dev/copyright';

/** LLVM, GCC and glibc make an exception for what is linked into programs, and ask for nothing. */
const introduction = `hawser is under the MIT licence. Linked into the addons in this folder are also the libraries listed in docs/licences.md.
Of these, some ask that their notices go with copies: they are below.
`;

/** @param {string} title @param {string} file */
const section = (title, file) =>
  `\n${title}\n${'='.repeat(title.length)}\n\n${readFileSync(file, 'utf8').trim()}\n`;

/**
 * Writes the notices of the binaries that are in prebuilds/.
 *
 * @returns {Promise<void>}
 * @throws {Error} when a notice that must be there is not
 */
export async function writeNotices() {
  const made = targets.filter((target) => existsSync(prebuildFile(target)));
  if (made.length === 0) return;
  let text = introduction + section('libsodium: all', join(await fetchLibsodium(), 'LICENSE'));
  if (made.some(({ compiler }) => compiler === 'zig')) {
    text += section('compiler_rt of zig: Linux and macOS', zigLicence);
  }
  if (made.some(({ compiler }) => compiler === 'mingw')) {
    if (!existsSync(noticesOfMingw))
      throw new Error(`the notices of mingw-w64 are missing: ${noticesOfMingw}`);
    text += section('mingw-w64 and its winpthreads: Windows', noticesOfMingw);
  }
  writeFileSync(noticesFile, text);
}
