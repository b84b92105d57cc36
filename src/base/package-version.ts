// The version of this package.

import { readFileSync } from 'node:fs';

/** As its package.json has it; `undefined` as a text where that is of somebody else's making. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest && manifest.version;
  return String(version);
}
