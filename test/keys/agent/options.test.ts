// What an SAE can be told, and what it says of what it cannot.

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { SaeOptions } from '../../../src/keys/agent/options.js';
import type { PeerOptions } from '../../../src/keys/agent/peer-options.js';
import { Sae } from '../../../src/keys/agent/sae.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import { TestKeyPool } from './key-pool.js';
import { keysOf } from './world.js';

const peer: PeerOptions = { saeId: 'SAE_B', publicKey: keysOf('SAE_B').publicKey, role: 'master' };

function options(changes: Partial<SaeOptions> = {}): SaeOptions {
  return {
    saeId: 'SAE_A',
    signingKey: keysOf('SAE_A').privateKey,
    store: new MemoryKeyStore(),
    keySource: new TestKeyPool().source(),
    persona: new RecordingPersona(),
    peers: [peer],
    ...changes,
  };
}

const withPeer = (changes: Partial<PeerOptions>): SaeOptions => options({ peers: [{ ...peer, ...changes }] });

const refused: readonly (readonly [string, SaeOptions, string])[] = [
  ['no id', options({ saeId: '' }), 'saeId must be a string of 1 to 256 bytes'],
  [
    'a public key to sign with',
    options({ signingKey: keysOf('SAE_A').publicKey }),
    'signingKey must be a private',
  ],
  ['a misspelt option', Object.assign(options(), { fialClosed: true }), "did you mean 'failClosed'"],
  ['itself as a peer', withPeer({ saeId: 'SAE_A' }), 'peers[0].saeId must be the id of another SAE'],
  ['a peer twice', options({ peers: [peer, peer] }), 'peers[1].saeId must be of one peer only'],
  ['a blank id', withPeer({ saeId: '  ' }), 'peers[0].saeId must be an id that is not blank'],
  [
    'our own key as that of a peer',
    withPeer({ publicKey: keysOf('SAE_A').publicKey }),
    'the same public key',
  ],
  [
    'one key for two peers',
    options({ peers: [peer, { ...peer, saeId: 'SAE_C' }] }),
    'have the same public key',
  ],
  ['a role that is none', withPeer({ role: 'boss' as never }), "one of 'master', 'slave', 'both'"],
  [
    'an interval for a slave',
    withPeer({ role: 'slave', intervalMs: 60_000 }),
    'peers[0].intervalMs must be left out',
  ],
  [
    'an interval below the lead',
    withPeer({ intervalMs: 5000 }),
    'peers[0].intervalMs must be a number from 30000',
  ],
  [
    'a lead of two hours',
    withPeer({ leadMs: 7_200_000 }),
    'peers[0].leadMs must be a number from 1000 to 3600000',
  ],
  [
    'a grace beyond the lead',
    withPeer({ graceMs: 40_000 }),
    'peers[0].graceMs must be a number from 0 to 30000',
  ],
  ['a key of 100 bits', withPeer({ keySizeBits: 100 }), 'peers[0].keySizeBits must be a multiple of 8'],
  ['17 keys at a time', withPeer({ keysPerRotation: 17 }), 'an integer from 1 to 16'],
  [
    'an address without a socket',
    withPeer({ address: { host: '127.0.0.1', port: 5000 } }),
    'left out without the option udp',
  ],
  [
    'an address that the socket cannot reach',
    {
      ...withPeer({ address: { host: '127.0.0.1', port: 5000 } }),
      udp: { host: '::1', port: 0 },
    },
    'peers[0].address.host must be an IPv6 address',
  ],
  [
    'a socket at a name',
    { ...withPeer({ address: { host: '127.0.0.1', port: 5000 } }), udp: { host: 'localhost', port: 0 } },
    'udp.host must be an IP address',
  ],
  [
    'an Ed25519 key in the envelope of the original',
    withPeer({ wire: 'sae-json', publicKey: generateKeyPairSync('ed25519').publicKey }),
    'RSA',
  ],
];

describe('the options of an SAE', () => {
  for (const [what, wrong, message] of refused) {
    it(`do not allow ${what}`, async () => {
      const opened = Sae.open(wrong);
      await expect(opened).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
      await expect(opened).rejects.toThrow(message);
      await wrong.store.close();
    });
  }

  it('have the persona judge the size of keys', async () => {
    const persona = new RecordingPersona();
    const sizes: number[] = [];
    persona.validate = (bits?: number) => void sizes.push(bits ?? 0);
    const sae = await Sae.open({ ...withPeer({ keySizeBits: 512 }), persona });
    expect(sizes).toEqual([512]);
    await sae.close();
  });
});

describe('the peers of an SAE', () => {
  it('may be added, removed, and added again; nothing is done with one that is removed', async () => {
    const sae = await Sae.open(options());
    await expect(sae.addPeer(peer)).rejects.toThrow('peer.saeId must be of one peer only');
    expect(await sae.removePeer('SAE_B')).toBe(true);
    expect(await sae.removePeer('SAE_B')).toBe(false);
    await expect(sae.rotate('SAE_B')).rejects.toThrow('peerSaeId must be the id of a peer');
    expect(() => sae.link('SAE_B', { delivers: true, send: () => true })).toThrow('the id of a peer');
    await sae.addPeer(peer);
    expect(sae.peers).toEqual(['SAE_B']);
    await sae.close();
    await expect(sae.addPeer(peer)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  });

  it('one that is added again begins when what it had begun before is over', async () => {
    const persona = new RecordingPersona();
    const store = new MemoryKeyStore();
    const sae = await Sae.open(options({ persona, store }));
    let kept = (): void => undefined;
    const commit = store.commit.bind(store);
    store.commit = async (change) => {
      await new Promise<void>((resolve) => {
        kept = resolve;
      });
      return commit(change);
    };
    sae.rotate('SAE_B').catch(() => undefined);
    for (let turn = 0; turn < 10; ++turn) await new Promise((resolve) => setImmediate(resolve));
    kept();
    for (let turn = 0; turn < 10; ++turn) await new Promise((resolve) => setImmediate(resolve));
    const removed = sae.removePeer('SAE_B');
    let isAdded = false;
    const added = sae.addPeer(peer).then(() => {
      isAdded = true;
    });
    for (let turn = 0; turn < 10; ++turn) await new Promise((resolve) => setImmediate(resolve));
    expect([isAdded, store.sessions('SAE_B')]).toEqual([false, []]);
    store.commit = commit;
    kept();
    await Promise.all([removed, added]);
    expect(sae.status().peers[0]?.session?.state).toBe('NOTIFIED');
    await sae.close();
  });

  it('a rotation that is not waited for any more goes on', async () => {
    const sae = await Sae.open(options());
    const abort = new AbortController();
    const session = new Promise((resolve) => sae.once('state', ({ session: { state } }) => resolve(state)));
    const call = sae.rotate('SAE_B', { signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(call).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    await expect(sae.rotate('SAE_B', { leadMs: 5 })).rejects.toThrow('leadMs must be a number from 1000');
    expect(await session).toBe('NOTIFIED');
    await sae.close();
  });
});
