// A process that commits rotations to a key store is killed at any moment: what it was told is kept is there, and nothing is there by halves.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { openKeyStore } from '../../../src/keys/store/lmdb-store.js';
import { masterKeyFrom, writeMasterKey } from '../../../src/keys/store/master-key.js';
import { keyOf, materialOfKey, sessionOf } from './children/rotations.mjs';
import { materialOf } from './contract.js';

const committer = fileURLToPath(new URL('children/committer.mjs', import.meta.url));
const rounds = process.env.HAWSER_TEST_DEEP === '1' ? 100 : 8;

let directory: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-keys-crash-'));
});

afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the committer and kills it, somewhere in the commit that it begins or ends by that line. @returns the last begun and acknowledged. */
async function commitUntil(from: number, killAt: string, spinMicros: number) {
  const args = [committer, join(directory, 'store'), join(directory, 'master'), `${from}`];
  const started = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child = started;
  let errors = '';
  started.stderr.on('data', (text) => {
    errors += text;
  });
  const last = { begin: 0, done: 0 };
  createInterface(started.stdout).on('line', (line) => {
    const [what, number] = line.split(' ');
    if (what === 'begin' || what === 'done') last[what] = Number(number);
    if (line !== killAt) return;
    const end = performance.now() + spinMicros / 1000;
    while (performance.now() < end);
    started.kill('SIGKILL');
  });
  await once(started, 'close');
  expect(errors).toBe('');
  return last;
}

test('a killed process leaves whole commits, and all that were acknowledged (edge 14)', async () => {
  const seed = Number(process.env.HAWSER_TEST_SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  writeMasterKey(join(directory, 'master'));
  let present = 0;
  for (let round = 0; round < rounds; ++round) {
    const n = present + 1 + Math.floor(random() * 12);
    const killAt = `${random() < 0.5 ? 'begin' : 'done'} ${n}`;
    const last = await commitUntil(present + 1, killAt, random() * 3000);
    const masterKey = masterKeyFrom({ file: join(directory, 'master') });
    const store = await openKeyStore(join(directory, 'store'), { masterKey });
    masterKey.wipe();
    try {
      const epoch = store.peer('SAE_B')?.epoch ?? 0;
      const about = `seed ${seed}, round ${round}, killed at ${killAt}`;
      expect(epoch, about).toBeGreaterThanOrEqual(Math.max(present, last.done));
      expect(epoch, about).toBeLessThanOrEqual(last.begin);
      present = epoch;
      if (epoch === 0) continue;
      const keys = [...(epoch > 1 ? [keyOf(epoch - 1, 'rolled')] : []), keyOf(epoch, 'in_production')];
      const inOrder = [...store.keys('SAE_B')].sort((a, b) => a.receivedAtMs - b.receivedAtMs);
      expect(inOrder, about).toEqual(keys);
      for (const { keyId, receivedAtMs } of keys) {
        expect(await materialOf(store, keyId), about).toBe(materialOfKey(receivedAtMs).toString('hex'));
      }
      expect(store.sessions('SAE_B'), about).toEqual([sessionOf(epoch)]);
    } finally {
      await store.close();
    }
  }
  expect(present, `seed ${seed}`).toBeGreaterThan(0);
});
