// test/keys/python/envelope.py as an oracle: all questions at once, and their answers.

import { spawnSync } from 'node:child_process';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { SaeWire } from '../../../src/keys/wire/wire-name.js';
import { fromHex, toHex } from '../../reference/bytes.js';

const program = fileURLToPath(new URL('../python/envelope.py', import.meta.url));

export interface OpenedByPython {
  readonly sender?: string;
  readonly public_key?: string;
  readonly type?: string;
  readonly direction?: number;
  readonly sequence?: string;
  readonly times?: readonly number[];
  readonly message: Readonly<Record<string, unknown>>;
}

function ask(requests: readonly object[]): readonly { readonly ok?: unknown; readonly error?: string }[] {
  const input = requests.map((request) => `${JSON.stringify(request)}\n`).join('');
  // Debian's own Python has the package; another one on the path may not.
  // The time is for one that hangs: while this waits, no time of a test ends it.
  const run = spawnSync('/usr/bin/python3', [program], { input, encoding: 'utf8', timeout: 100_000 });
  if (run.status !== 0) throw new Error(`python3: ${run.error?.message ?? run.signal ?? ''} ${run.stderr}`);
  return run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function privatePem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
}

/** What Python finds in envelopes; undefined where it refuses. The key is the sender's; the original's brings its own. */
export function openByPython(
  wire: SaeWire,
  envelopes: readonly { readonly bytes: Uint8Array; readonly key: KeyObject }[],
): readonly (OpenedByPython | undefined)[] {
  const requests = envelopes.map(({ bytes, key }) => ({
    do: 'open',
    wire,
    envelope: toHex(bytes),
    public_key: publicPem(key),
  }));
  return ask(requests).map(({ ok }) => ok as OpenedByPython | undefined);
}

/** The envelopes that Python makes. */
export function sealByPython(
  wire: SaeWire,
  messages: readonly {
    readonly message: object;
    readonly key: KeyObject;
    readonly saeId?: string;
    readonly direction?: number;
    readonly sequence?: bigint;
    readonly times?: readonly number[];
  }[],
): readonly Uint8Array[] {
  const requests = messages.map(({ key, saeId, sequence, ...others }) => ({
    do: 'seal',
    wire,
    private_key: privatePem(key),
    sae_id: saeId,
    sequence: sequence?.toString(),
    ...others,
  }));
  return ask(requests).map(({ ok, error }) => {
    if (typeof ok !== 'string') throw new Error(error);
    return fromHex(ok);
  });
}
