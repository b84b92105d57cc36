// The configuration of an SAE: what is read, and that what is wrong is named.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSaeConfig, type SaeConfig } from '../../src/gateway/sae/config.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
const file = join(folder, 'sae.json');

type Json = Readonly<Record<string, unknown>>;

const peer: Json = {
  saeId: 'SAE_B',
  publicKey: 'b.pub',
  connect: { to: '127.0.0.1:4440', key: 'server.key', clientId: 1 },
};

const good: Json = {
  saeId: 'SAE_A',
  signingKey: 'a.pem',
  store: { path: 'a.store', masterKey: { file: 'a.master' } },
  kme: { url: 'https://127.0.0.1:8443', ca: 'certs/ca.pem', cert: 'certs/a.pem', key: '/certs/a.key' },
  peers: [peer],
};

function read(content: unknown): SaeConfig {
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return readSaeConfig(file);
}

describe('what is read', () => {
  test('paths are relative to the file, and what is left out has its default', () => {
    expect(read(good)).toEqual({
      file,
      saeId: 'SAE_A',
      signingKey: join(folder, 'a.pem'),
      saeJsonSigningKey: undefined,
      store: { path: join(folder, 'a.store'), masterKey: { file: join(folder, 'a.master') } },
      kme: {
        url: 'https://127.0.0.1:8443',
        ca: join(folder, 'certs/ca.pem'),
        cert: join(folder, 'certs/a.pem'),
        key: '/certs/a.key',
        kmeId: undefined,
        timeoutMs: undefined,
      },
      persona: { type: 'transport', requireKeyMs: undefined },
      transport: undefined,
      udp: undefined,
      peers: [
        {
          saeId: 'SAE_B',
          publicKey: join(folder, 'b.pub'),
          role: undefined,
          wire: 'hawser',
          address: undefined,
          clientId: undefined,
          connect: {
            to: ['127.0.0.1:4440'],
            key: join(folder, 'server.key'),
            clientId: 1n,
            protocolId: 1n,
            timeoutMs: undefined,
          },
          persona: undefined,
          numbers: {},
        },
      ],
      failClosed: false,
      requireLockedMemory: false,
      control: join(folder, 'a.store.sock'),
    });
  });

  test('numbers of a peer are kept as they are, for Sae.open to check', () => {
    const [first] = read({ ...good, peers: [{ ...peer, intervalMs: 60_000, keysPerRotation: 2 }] }).peers;
    expect(first?.numbers).toEqual({ intervalMs: 60_000, keysPerRotation: 2 });
  });

  test('a client id beyond 2^53 is a string', () => {
    const config = read({
      ...good,
      transport: { listen: '127.0.0.1:0', key: 'server.key' },
      peers: [{ saeId: 'B', publicKey: 'b.pub', clientId: '18446744073709551615' }],
    });
    expect(config.peers[0]?.clientId).toBe(2n ** 64n - 1n);
  });
});

const listening = { transport: { listen: '127.0.0.1:0', key: 'server.key' } };
const accepted = { saeId: 'SAE_C', publicKey: 'c.pub', clientId: 7 };

describe('what is wrong is named, with the file', () => {
  test.each<[string, unknown, string]>([
    ['no object', [], 'the configuration must be an object; got an array of 0'],
    [
      'a misspelt name',
      { ...good, signinKey: 'x' },
      "unknown option 'signinKey' in the configuration; did you mean 'signingKey'?",
    ],
    [
      'a misspelt name of a peer',
      { ...good, peers: [{ ...peer, intervallMs: 1 }] },
      "unknown option 'intervallMs' in peers[0]; did you mean 'intervalMs'?",
    ],
    [
      'a name of JavaScript',
      `{"__proto__": {}, "saeId": "A"}`,
      "unknown option '__proto__' in the configuration",
    ],
    ['no SAE id', { ...good, saeId: '' }, 'saeId must be a string of 1 to 256 bytes of UTF-8'],
    ['no store', { ...good, store: undefined }, 'store must be an object; got undefined'],
    [
      'two places of a master key',
      { ...good, store: { path: 'a', masterKey: { file: 'a', env: 'B' } } },
      'store.masterKey must be { "file": PATH } or { "env": NAME }; got an object',
    ],
    [
      'a KME without TLS',
      { ...good, kme: { url: 'http://127.0.0.1:8443' } },
      'kme.url must be a URL of https; got "http://127.0.0.1:8443"',
    ],
    ['no peers', { ...good, peers: [] }, 'peers must be an array of 1 to 10000; got an array of 0'],
    [
      'a number as text',
      { ...good, peers: [{ ...peer, leadMs: '10s' }] },
      'peers[0].leadMs must be a number from 0 to 9007199254740991; got "10s"',
    ],
    [
      'another role',
      { ...good, peers: [{ ...peer, role: 'slav' }] },
      "peers[0].role must be one of 'master', 'slave', 'both'; got \"slav\"; did you mean 'slave'?",
    ],
    [
      'a peer that is this SAE',
      { ...good, peers: [{ ...peer, saeId: 'SAE_A' }] },
      'peers[0].saeId is that of this SAE',
    ],
    ['a peer twice', { ...good, peers: [peer, peer] }, 'peers[1].saeId is that of another peer'],
    [
      'no way to a peer',
      { ...good, peers: [{ saeId: 'B', publicKey: 'b' }] },
      'peers[0] needs either connect, to reach the peer, or clientId',
    ],
    [
      'a client id without a gateway',
      { ...good, peers: [accepted] },
      'transport is missing: peers[0] has a clientId',
    ],
    [
      'a client id twice',
      { ...good, ...listening, peers: [accepted, { ...accepted, saeId: 'D' }] },
      'peers[1].clientId is that of another peer',
    ],
    [
      'sae-json without an address',
      { ...good, peers: [{ ...accepted, wire: 'sae-json' }] },
      'peers[0].address is missing: with sae-json',
    ],
    [
      'sae-json without a socket',
      { ...good, peers: [{ saeId: 'B', publicKey: 'b', wire: 'sae-json', address: '127.0.0.1:5000' }] },
      'udp is missing',
    ],
    [
      'a host name',
      { ...good, peers: [{ ...peer, connect: { to: 'localhost:1', key: 'k', clientId: 1 } }] },
      'peers[0].connect.to must be an IP address and a port',
    ],
    [
      'two ways to connect',
      { ...good, peers: [{ ...peer, connect: { to: '127.0.0.1:1', tokenFile: 't' } }] },
      'peers[0].connect must be an object with one of tokenFile, tokenUrl and to',
    ],
    [
      'what does not go with a token',
      { ...good, peers: [{ ...peer, connect: { tokenFile: 't', key: 'k' } }] },
      "unknown option 'key' in peers[0].connect",
    ],
    ['another device', { ...good, persona: { type: 'wireguards' } }, 'persona.type must be one of'],
    [
      'what belongs to another device',
      { ...good, persona: { type: 'transport', directory: 'x' } },
      "unknown option 'directory' in persona",
    ],
  ])('%s', (_, content, complaint) => {
    expect(() => read(content)).toThrow(`${file}: ${complaint}`);
  });

  test('what is no JSON, no UTF-8, not there', () => {
    expect(() => read('{"saeId": ')).toThrow(`${file} is not JSON: `);
    writeFileSync(file, Buffer.of(0x22, 0xff, 0x22));
    expect(() => readSaeConfig(file)).toThrow(`cannot read the configuration ${file}: it is not UTF-8`);
    expect(() => readSaeConfig(join(folder, 'none.json'))).toThrow('no such file or directory');
  });
});
