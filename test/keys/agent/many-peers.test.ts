// Edge case 24 of the specification, section 12: an SAE with 10,000 peers.

import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import { Sae } from '../../../src/keys/agent/sae.js';
import { StepTurns } from '../../../src/keys/agent/step-turns.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import { TestKeyPool } from './key-pool.js';
import { SaeTime } from './sae-time.js';
import { keysOf } from './world.js';

const count = 10_000;

it('24: 10,000 peers whose timers are due in the same second leave the event loop to others', async () => {
  const time = new SaeTime();
  const wheel = new TimingWheel(time.machine());
  const pool = new TestKeyPool();
  // One key for all would be refused; to make so many pairs takes longer than the test.
  const publicKeys = manyKeys();
  let asked = 0;
  /** In this turn of the event loop, and in the worst. */
  let inTurn = 0;
  let most = 0;
  const send = (): boolean => {
    ++asked;
    most = Math.max(most, ++inTurn);
    return true;
  };
  const sae = await Sae.open({
    saeId: 'SAE_A',
    signingKey: keysOf('SAE_A').privateKey,
    store: new MemoryKeyStore(),
    keySource: pool.source(),
    persona: new RecordingPersona(),
    wheel,
    peers: publicKeys.map((publicKey, n) => ({ saeId: `peer ${n}`, publicKey, role: 'master' as const })),
  });
  for (const peer of sae.peers) sae.link(peer, { delivers: false, send });
  const calls = sae.peers.map((peer) => sae.rotate(peer).catch((error: unknown) => error));
  const turnsUntil = async (sent: number): Promise<number> => {
    let turns = 0;
    for (; asked < sent; ++turns) {
      await new Promise((resolve) => setImmediate(resolve));
      inTurn = 0;
    }
    return turns;
  };
  await turnsUntil(count);
  // All of them send again in the same millisecond.
  time.nowMs += 2000;
  time.clock.runDue();
  expect(await turnsUntil(2 * count)).toBeGreaterThan(count / 64);
  expect(most).toBeLessThanOrEqual(64);
  const closed = sae.close();
  await time.finish(closed);
  await Promise.all(calls);
  expect(wheel.size).toBe(0);
});

it('steps begin in the order in which they were asked for, so many in a turn', async () => {
  const turns = new StepTurns();
  const begun: number[] = [];
  const waits = Array.from({ length: 100 }, async (_, n) => {
    await turns.begin();
    begun.push(n);
  });
  await Promise.resolve();
  expect(begun).toHaveLength(32);
  await new Promise((resolve) => setImmediate(resolve));
  expect(begun).toHaveLength(64);
  await Promise.all(waits);
  expect(begun).toEqual(Array.from({ length: 100 }, (_, n) => n));
});

/** Public keys that nobody has the private keys of: any 32 bytes are one. */
function manyKeys(): KeyObject[] {
  const head = keysOf('SAE_A').publicKey.export({ type: 'spki', format: 'der' }).subarray(0, -32);
  return Array.from({ length: count }, () =>
    createPublicKey({ key: Buffer.concat([head, randomBytes(32)]), type: 'spki', format: 'der' }),
  );
}
