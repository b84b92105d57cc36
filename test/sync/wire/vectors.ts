// Messages that were built with the original's own schema (test/vectors/sync.json).

import { readFileSync } from 'node:fs';
import { fromHex } from '../../reference/bytes.js';

export interface Vector {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** The verdict of the verifier of FlatBuffers' C++ runtime. */
  readonly isMessage: boolean;
  /** As flatc writes it; null when there is none. */
  readonly meaning: { readonly content_type: string } | null;
}

const url = new URL('../../vectors/sync.json', import.meta.url);

export const vectors: readonly Vector[] = JSON.parse(readFileSync(url, 'utf8')).vectors.map(
  ({ name, hex, verifier_ok, meaning }: Record<string, string>) => ({
    name,
    bytes: fromHex(hex ?? ''),
    isMessage: verifier_ok,
    meaning,
  }),
);
