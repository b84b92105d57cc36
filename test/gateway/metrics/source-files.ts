// What is written in src/, for tests of conventions.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Every file of src/ with its path below it. */
export function sourceFiles(): readonly { readonly path: string; readonly text: string }[] {
  const folder = fileURLToPath(new URL('../../../src/', import.meta.url));
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path: path.replaceAll('\\', '/'), text: readFileSync(join(folder, path), 'utf8') }));
}
