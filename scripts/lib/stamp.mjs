// Content hashes: what is built again is decided by what went into it, never by file times, which a clone or a
// restored cache changes.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './process.mjs';

/**
 * @param {readonly string[]} paths files and folders, relative to the root
 * @param {(file: string) => boolean} [accept] which of the files in the folders
 * @returns {string[]} every file under them, sorted
 */
export function filesUnder(paths, accept = () => true) {
  const files = [];
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    if (statSync(full).isFile()) {
      files.push(path);
      continue;
    }
    for (const entry of readdirSync(full, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath ?? entry.path, entry.name).slice(root.length);
      if (accept(file)) files.push(file);
    }
  }
  return files.sort();
}

/**
 * @param {readonly string[]} files relative to the root
 * @param {readonly unknown[]} [facts]
 * @returns {string} one hash over the names and contents of files, and over further facts
 */
export function hashOf(files, facts = []) {
  const hash = createHash('sha256').update(JSON.stringify(facts));
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** A stamp remembers the hash of what something was last built from. */
export class Stamp {
  #file;
  /** @param {string} name */
  constructor(name) {
    this.#file = join(root, 'build', 'stamps', name);
  }
  /** @param {string} hash */
  matches(hash) {
    return existsSync(this.#file) && readFileSync(this.#file, 'utf8') === hash;
  }
  /** @param {string} hash */
  write(hash) {
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(this.#file, hash);
  }
}
