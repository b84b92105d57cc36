// Where the keys of a session come from, and what becomes of those that come to nothing.

import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { SecretBytes } from '../../../src/base/secret-bytes.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import { KeyRequests } from '../../../src/keys/agent/key-requests.js';
import { checkSaeOptions } from '../../../src/keys/agent/options.js';
import { PeerClock } from '../../../src/keys/agent/peer-clock.js';
import { checkPeerOptions } from '../../../src/keys/agent/peer-options.js';
import type { KeySource } from '../../../src/keys/kme/key-source.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import type { OperationResult } from '../../../src/keys/protocol/steps.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import { TestKeyPool } from './key-pool.js';
import { SaeTime } from './sae-time.js';
import { keysOf } from './world.js';

/** Requests of one SAE, and all material that its KME delivered. */
function requestsOf(pool: TestKeyPool, keysPerRotation = 2) {
  const time = new SaeTime();
  const machine = time.machine();
  const wheel = new TimingWheel(machine);
  const clock = new PeerClock(machine);
  const store = new MemoryKeyStore();
  const inner = pool.source();
  const materials: SecretBytes[] = [];
  /** Of the requests for new keys. */
  const signals: AbortSignal[] = [];
  const keep = <K extends readonly { readonly material: SecretBytes }[]>(keys: K): K => {
    materials.push(...keys.map((key) => key.material));
    return keys;
  };
  const keySource: KeySource = {
    status: inner.status,
    getKeys: async (...args) => {
      if (args[2]?.signal !== undefined) signals.push(args[2].signal);
      return keep(await inner.getKeys(...args));
    },
    getKeysWithIds: async (...args) => keep(await inner.getKeysWithIds(...args)),
  };
  const persona = new RecordingPersona();
  const sae = checkSaeOptions({
    saeId: 'A',
    signingKey: keysOf('A').privateKey,
    store,
    keySource,
    persona,
    wheel,
  });
  const peer = { saeId: 'B', publicKey: keysOf('B').publicKey, role: 'both', keysPerRotation } as const;
  const settings = checkPeerOptions('peer', peer, sae);
  const failures: string[] = [];
  const failed = (source: string): void => void failures.push(source);
  const requests = new KeyRequests({ settings, store, wheel, clock, random: () => 0.5, failed });
  return { time, clock, store, requests, materials, failures, signals };
}

describe('keys for a session', () => {
  it('come from the store first, the oldest before the others, and from the KME for the rest', async () => {
    const pool = new TestKeyPool();
    const { requests, time } = requestsOf(pool);
    const idsOf = (result: OperationResult): readonly string[] => (result.ok ? (result.keyIds ?? []) : []);
    const first = idsOf(await time.finish(requests.request()));
    expect(first).toHaveLength(2);
    expect([...idsOf(await time.finish(requests.request()))].sort()).toEqual([...first].sort());
    expect(pool.requests).toEqual(['enc B 2']);
  });

  it('are wiped where they were delivered to, whether they were kept or not', async () => {
    const pool = new TestKeyPool();
    const { requests, time, materials, store } = requestsOf(pool);
    await time.finish(requests.request());
    const others = await pool.source().getKeys('A', { number: 2 });
    pool.faults.push({ change: (keys) => keys.reverse() });
    const result = await time.finish(
      requests.fetch(
        others.map((key) => key.keyId),
        1e15,
      ),
    );
    expect(result).toMatchObject({ ok: false, code: 'key_unavailable' });
    expect(materials).toHaveLength(4);
    expect(materials.every((material) => material.wiped)).toBe(true);
    expect(store.keys('B')).toHaveLength(2);
  });

  it('are asked for once, however often they are waited for, and are there when they come late', async () => {
    const pool = new TestKeyPool();
    const { requests, time, clock, store } = requestsOf(pool);
    const keyIds = (await pool.source().getKeys('A', { number: 2 })).map((key) => key.keyId);
    let open: () => void = () => undefined;
    pool.gate = new Promise((resolve) => {
      open = resolve;
    });
    const early = await time.finish(requests.fetch(keyIds, clock.nowMs() + 1000));
    expect(early).toMatchObject({ ok: false, code: 'kme_unavailable', timedOut: true });
    const late = requests.fetch(keyIds, clock.nowMs() + 10_000);
    const part = requests.fetch(keyIds.slice(1), clock.nowMs() + 10_000);
    await time.pass(1000);
    open();
    expect(await time.finish(late)).toEqual({ ok: true, keyIds });
    expect(await time.finish(part)).toEqual({ ok: true, keyIds: keyIds.slice(1) });
    expect(pool.requests.filter((request) => request.startsWith('dec'))).toEqual(['dec B 2']);
    expect(store.keys('B')).toHaveLength(2);
    expect(await time.finish(requests.fetch(keyIds, clock.nowMs() + 10_000))).toEqual({ ok: true, keyIds });
  });

  it('that a KME delivers after it was given up are wiped, and not kept', async () => {
    const pool = new TestKeyPool();
    const { requests, time, materials, store, failures } = requestsOf(pool);
    let open: () => void = () => undefined;
    pool.gate = new Promise((resolve) => {
      open = resolve;
    });
    const call = requests.request();
    expect(await time.finish(call)).toMatchObject({ ok: false, code: 'kme_unavailable' });
    const second = requests.request();
    await time.pass(10);
    requests.close();
    expect(await time.finish(second)).toMatchObject({ ok: false });
    open();
    await time.pass(100);
    expect(materials).toHaveLength(4);
    expect(materials.every((material) => material.wiped)).toBe(true);
    expect(store.keys('B')).toEqual([]);
    expect(failures).toEqual(['kme', 'kme']);
  });

  it('are none that is used up, expired or revoked', async () => {
    const pool = new TestKeyPool();
    const { requests, time, store, clock } = requestsOf(pool);
    await time.finish(requests.request());
    const [used, revoked] = store.keys('B');
    if (used === undefined || revoked === undefined) throw new Error('there are two');
    await store.commit({
      peerSaeId: 'B',
      update: [
        { ...used, status: 'rolled' },
        { ...revoked, status: 'revoked' },
      ],
    });
    for (const { keyId } of [used, revoked]) {
      const result = await time.finish(requests.fetch([keyId], clock.nowMs() + 1000));
      expect(result).toMatchObject({ ok: false, code: 'key_unavailable', keyIds: [keyId] });
    }
  });

  it('are no more of one peer than are kept at most, which leaves room for the others', async () => {
    const pool = new TestKeyPool();
    const { requests, time, clock, store } = requestsOf(pool);
    const fetch = async (number: number): Promise<OperationResult> => {
      const keys = await pool.source().getKeys('A', { number });
      const keyIds = keys.map((key) => key.keyId);
      return time.finish(requests.fetch(keyIds, clock.nowMs() + 1000));
    };
    for (let count = 0; count < 1024; count += 16) expect(await fetch(16)).toMatchObject({ ok: true });
    expect(await fetch(1)).toMatchObject({ ok: false, code: 'kme_unavailable', timedOut: false });
    expect(store.keys('B')).toHaveLength(1024);
  });

  it.each(['  ', 'x'.repeat(257)])('are none whose id no message can have: %j', async (keyId) => {
    const pool = new TestKeyPool();
    const { requests, time, store, materials } = requestsOf(pool);
    pool.faults.push({
      change: ([first, ...others]) => (first === undefined ? [] : [{ ...first, keyId }, ...others]),
    });
    const result = await time.finish(requests.request());
    expect(result).toMatchObject({ ok: false, code: 'kme_unavailable' });
    expect(store.keys('B')).toEqual([]);
    expect(materials.every((material) => material.wiped)).toBe(true);
  });

  it('leave nothing behind with each attempt, however long the KME has none', async () => {
    const pool = new TestKeyPool();
    const { requests, time, signals } = requestsOf(pool);
    for (let attempt = 0; attempt < 20; ++attempt) pool.faults.push({ fails: 'ERR_HAWSER_KME_UNAVAILABLE' });
    const call = requests.request();
    await time.pass(29_000);
    const [signal] = signals;
    if (signal === undefined) throw new Error('there is a signal');
    expect(signals.length).toBeGreaterThan(8);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    expect(await time.finish(call)).toMatchObject({ ok: false, code: 'kme_unavailable' });
  });
});
