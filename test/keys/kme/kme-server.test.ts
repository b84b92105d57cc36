// The KME by itself, asked by raw HTTPS requests: the standard's statuses and texts, the pool, the faults, and who is let in.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as openRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.js';
import { seededRandom } from '../../../src/base/random.js';
import { Faults, faultKinds, parseFault } from '../../../src/keys/kme/faults.js';
import { KeyPool } from '../../../src/keys/kme/key-pool.js';
import { KmeServer } from '../../../src/keys/kme/kme-server.js';
import { refusal } from '../../base/refusal.js';
import {
  authority,
  clientTls,
  failureOf,
  openPair,
  type Pair,
  saeIdentities,
  strangerAuthority,
  type TestSae,
  tlsOf,
} from './support.js';

let pair: Pair;

beforeAll(async () => {
  pair = await openPair({ maxSaeIdCount: 1, maxKeySizeBits: 1024, maxKeysPerRequest: 8 });
});

afterAll(async () => {
  await pair[Symbol.asyncDispose]();
});

interface RawAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface RawRequest {
  readonly as?: TestSae;
  readonly at?: KmeServer;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** @param path behind `/api/v1/keys/`, or from a `/` on the whole. */
function ask(
  path: string,
  { as = 'SAE_1', at = pair.a, method, headers, body }: RawRequest = {},
): Promise<RawAnswer> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(at.url);
    const request = openRequest({
      hostname,
      port,
      path: path.startsWith('/') ? path : `/api/v1/keys/${path}`,
      method: method ?? (text === undefined ? 'GET' : 'POST'),
      headers: { ...(text !== undefined && { 'content-type': 'application/json' }), ...headers },
      agent: false,
      ...clientTls(as),
    });
    request.on('error', reject);
    request.on('response', (response) => {
      let received = '';
      response.on('data', (chunk) => {
        received += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers: answered } = response;
        resolve({
          status: statusCode,
          type: answered['content-type'] ?? '',
          body: received,
          headers: answered,
        });
      });
    });
    request.end(text);
  });
}

async function outcome(path: string, options?: RawRequest): Promise<readonly [number, unknown]> {
  const { status, type, body } = await ask(path, options);
  expect(type).toBe('application/json');
  return [status, JSON.parse(body)];
}

interface Container {
  readonly keys: readonly { readonly key_ID: string; readonly key: string }[];
}

async function keysOf(path: string, options?: RawRequest): Promise<Container['keys']> {
  const { status, body, headers } = await ask(path, options);
  expect(status).toBe(200);
  expect(headers['cache-control']).toBe('no-store');
  const container: Container = JSON.parse(body);
  return container.keys;
}

test('Get status: exactly the items of table 9', async () => {
  const [status, body] = await outcome('SAE_2/status');
  expect(status).toBe(200);
  expect(body).toEqual({
    source_KME_ID: 'KME_A',
    target_KME_ID: 'KME_B',
    master_SAE_ID: 'SAE_1',
    slave_SAE_ID: 'SAE_2',
    key_size: 256,
    stored_key_count: expect.any(Number),
    max_key_count: 10_000,
    max_key_per_request: 8,
    max_key_size: 1024,
    min_key_size: 64,
    max_SAE_ID_count: 1,
  });
});

test('Get key: by GET without a body, by GET with number and size, by POST; the slave gets them by GET and by POST', async () => {
  const [plain] = await keysOf('SAE_2/enc_keys');
  const queried = await keysOf('SAE_2/enc_keys?number=2&size=512');
  const empty = await keysOf('SAE_2/enc_keys', { body: {} });
  const bare = await keysOf('SAE_2/enc_keys', { method: 'POST' });
  const posted = await keysOf('SAE_2/enc_keys', {
    body: { number: 3, extension_optional: [{ abc_max_age: 30_000 }], extension_mandatory: [] },
  });
  expect([empty.length, bare.length, posted.length]).toEqual([1, 1, 3]);
  expect(queried.map(({ key }) => Buffer.from(key, 'base64').length)).toEqual([64, 64]);
  expect(plain?.key_ID).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  const asSlave = { as: 'SAE_2', at: pair.b } as const;
  expect(await keysOf(`SAE_1/dec_keys?key_ID=${plain?.key_ID}`, asSlave)).toEqual([plain]);
  const both = [...queried, ...posted];
  const body = { key_IDs: both.map(({ key_ID }) => ({ key_ID, key_ID_extension: {} })) };
  expect(await keysOf('SAE_1/dec_keys', { ...asSlave, body })).toEqual(both);
});

describe('400, in the words of the standard where it has any', () => {
  const bad: readonly (readonly [string, string, RawRequest | undefined, string])[] = [
    ['size=100', 'SAE_2/enc_keys?size=100', undefined, 'size shall be a multiple of 8'],
    ['size 100', 'SAE_2/enc_keys', { body: { size: 100 } }, 'size shall be a multiple of 8'],
    ['size 56', 'SAE_2/enc_keys', { body: { size: 56 } }, 'size shall be from 64 to 1024'],
    ['size 2048', 'SAE_2/enc_keys', { body: { size: 2048 } }, 'size shall be from 64 to 1024'],
    ['size as a text', 'SAE_2/enc_keys', { body: { size: '64' } }, 'size shall be an integer'],
    ['number 0', 'SAE_2/enc_keys', { body: { number: 0 } }, 'number shall be from 1 to 8'],
    ['number 9', 'SAE_2/enc_keys?number=9', undefined, 'number shall be from 1 to 8'],
    ['number 1.5', 'SAE_2/enc_keys', { body: { number: 1.5 } }, 'number shall be an integer'],
    ['number twice', 'SAE_2/enc_keys?number=1&number=1', undefined, 'number shall be an integer'],
    ['number=-1', 'SAE_2/enc_keys?number=-1', undefined, 'number shall be an integer'],
    ['another parameter', 'SAE_2/enc_keys?nummer=1', undefined, 'by GET there are number and size only'],
    [
      'a mandatory extension',
      'SAE_2/enc_keys',
      { body: { extension_mandatory: [{ abc_route_type: 'direct' }] } },
      'not all extension_mandatory parameters are supported',
    ],
    [
      'an extension that is no array',
      'SAE_2/enc_keys',
      { body: { extension_optional: {} } },
      'extension_optional shall be an array',
    ],
    [
      'too many slaves',
      'SAE_2/enc_keys',
      { body: { additional_slave_SAE_IDs: ['SAE_3', 'SAE_4'] } },
      'additional_slave_SAE_IDs shall have at most 1 ids',
    ],
    [
      'slaves that are numbers',
      'SAE_2/enc_keys',
      { body: { additional_slave_SAE_IDs: [1] } },
      'additional_slave_SAE_IDs shall be an array of strings',
    ],
    ['no JSON', 'SAE_2/enc_keys', { body: '{' }, 'the body shall be a JSON object'],
    ['an array', 'SAE_2/enc_keys', { body: [] }, 'the body shall be a JSON object'],
    [
      'a name twice',
      'SAE_2/enc_keys',
      { body: '{"number":1,"number":2}' },
      'the body shall be a JSON object',
    ],
    [
      'too deep',
      'SAE_2/enc_keys',
      { body: `{"a":${'['.repeat(40)}${']'.repeat(40)}}` },
      'the body shall be a JSON object',
    ],
    [
      'another media type',
      'SAE_2/enc_keys',
      { body: '{}', headers: { 'content-type': 'text/plain' } },
      'the body shall be application/json',
    ],
    ['too long', 'SAE_2/enc_keys', { body: ' '.repeat(70_000) }, 'the body is longer than 65536 bytes'],
    ['no ids', 'SAE_1/dec_keys', { body: {} }, 'key_IDs shall have 1 to 8 ids'],
    [
      'nine ids',
      'SAE_1/dec_keys',
      { body: { key_IDs: Array.from({ length: 9 }, (_, at) => ({ key_ID: `${at}` })) } },
      'key_IDs shall have 1 to 8 ids',
    ],
    [
      'an id twice',
      'SAE_1/dec_keys',
      { body: { key_IDs: [{ key_ID: '1' }, { key_ID: '1' }] } },
      'key_IDs shall have no id twice',
    ],
    [
      'ids that are texts',
      'SAE_1/dec_keys',
      { body: { key_IDs: ['1'] } },
      'key_IDs shall be an array of objects with a key_ID each',
    ],
    ['GET without an id', 'SAE_1/dec_keys', undefined, 'by GET there is exactly one key_ID'],
    ['GET with two', 'SAE_1/dec_keys?key_ID=1&key_ID=2', undefined, 'by GET there is exactly one key_ID'],
    [
      'an unknown id',
      'SAE_1/dec_keys?key_ID=1',
      undefined,
      'one or more keys specified are not found on KME',
    ],
  ];
  test.each(bad)('%s', async (_, path, options, message) => {
    expect(await outcome(path, options)).toEqual([400, { message }]);
  });
});

test.each([
  ['/', 404],
  ['/api/v1/keys', 404],
  ['/api/v1/keys/SAE_2', 404],
  ['/api/v1/keys/SAE_2/other', 404],
  ['/api/v1/keys//status', 404],
  ['/api/v1/keys/SAE_2/status/', 404],
  ['/api/v2/keys/SAE_2/status', 404],
  ['/api/v1/keys/%ff/status', 404],
  [`/api/v1/keys/${'a'.repeat(257)}/status`, 404],
  ['//api/v1/keys/SAE_2/status', 404],
])('%s is no path of it: %i', async (path, status) => {
  expect((await outcome(path))[0]).toBe(status);
});

test.each([
  ['SAE_2/status', 'POST', 'GET'],
  ['SAE_2/enc_keys', 'PUT', 'GET, POST'],
  ['SAE_2/dec_keys', 'DELETE', 'GET, POST'],
])('%s by %s is answered with 405', async (path, method, allow) => {
  const { status, headers } = await ask(path, { method });
  expect([status, headers.allow]).toEqual([405, allow]);
});

describe('401: keys are for those that the master named', () => {
  test('another SAE, and the master itself, get none of them, not even those that are theirs', async () => {
    const [first] = await keysOf('SAE_2/enc_keys');
    const [second] = await keysOf('SAE_3/enc_keys');
    const body = { key_IDs: [{ key_ID: first?.key_ID }, { key_ID: second?.key_ID }] };
    for (const as of ['SAE_1', 'SAE_2', 'SAE_3'] as const) {
      expect((await outcome('SAE_1/dec_keys', { as, at: pair.b, body }))[0]).toBe(401);
    }
    expect(await keysOf(`SAE_1/dec_keys?key_ID=${first?.key_ID}`, { as: 'SAE_2', at: pair.b })).toEqual([
      first,
    ]);
    expect(await keysOf(`SAE_1/dec_keys?key_ID=${second?.key_ID}`, { as: 'SAE_3', at: pair.b })).toEqual([
      second,
    ]);
  });

  test('of known and unknown ids together, none is delivered', async () => {
    const [key] = await keysOf('SAE_2/enc_keys');
    const body = { key_IDs: [{ key_ID: key?.key_ID }, { key_ID: 'unknown' }] };
    expect((await outcome('SAE_1/dec_keys', { as: 'SAE_2', at: pair.b, body }))[0]).toBe(400);
    expect(await keysOf(`SAE_1/dec_keys?key_ID=${key?.key_ID}`, { as: 'SAE_2', at: pair.b })).toEqual([key]);
  });

  test('under the name of another master the key is not found', async () => {
    const [key] = await keysOf('SAE_2/enc_keys');
    expect(await outcome(`SAE_3/dec_keys?key_ID=${key?.key_ID}`, { as: 'SAE_2', at: pair.b })).toEqual([
      400,
      { message: 'one or more keys specified are not found on KME' },
    ]);
  });

  test('two slaves get the same key, each once', async () => {
    const [key] = await keysOf('SAE_2/enc_keys', { body: { additional_slave_SAE_IDs: ['SAE_3'] } });
    const path = `SAE_1/dec_keys?key_ID=${key?.key_ID}`;
    expect(await keysOf(path, { as: 'SAE_3', at: pair.b })).toEqual([key]);
    expect((await outcome(path, { as: 'SAE_3', at: pair.b }))[0]).toBe(401);
    expect(await keysOf(path, { as: 'SAE_2', at: pair.b })).toEqual([key]);
    expect((await outcome(path, { as: 'SAE_2', at: pair.b }))[0]).toBe(400);
  });

  test('an SAE that is not listed gets nothing', async () => {
    await using closed = await openPair({}, { saeIds: ['SAE_1'] });
    expect((await outcome('SAE_2/status', { at: closed.a }))[0]).toBe(200);
    expect(await outcome('SAE_1/status', { as: 'SAE_2', at: closed.a })).toEqual([
      401,
      { message: 'this SAE is none of this KME' },
    ]);
  });
});

describe('who has which certificate', () => {
  function handshake(
    identity: { readonly cert?: string; readonly key?: string | Buffer },
    maxVersion: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3',
  ): Promise<string> {
    const { hostname: host, port } = new URL(pair.a.url);
    return new Promise((resolve) => {
      const socket = connect({
        host,
        port: Number(port),
        ca: authority.certificate,
        minVersion: 'TLSv1',
        maxVersion,
        ciphers: 'DEFAULT:@SECLEVEL=0',
        ...identity,
      });
      socket.on('secureConnect', () =>
        socket.write('GET /api/v1/keys/SAE_2/status HTTP/1.1\r\nHost: a\r\n\r\n'),
      );
      socket.on('data', (data) => resolve(data.toString('latin1').slice(0, 12)));
      socket.on('error', () => resolve('ended'));
      socket.on('close', () => resolve('ended'));
    });
  }

  const good = saeIdentities.SAE_1;
  const stranger = tlsOf(strangerAuthority.sae({ id: 'SAE_1' }));

  test.each([
    ['none', 'TLSv1.3', 'ended', {}],
    ['none', 'TLSv1.2', 'ended', {}],
    ['one of another authority', 'TLSv1.3', 'ended', stranger],
    ['one of another authority', 'TLSv1.2', 'ended', stranger],
    ['a good one', 'TLSv1.1', 'ended', good],
    ['a good one', 'TLSv1.2', 'HTTP/1.1 200', good],
    ['a good one', 'TLSv1.3', 'HTTP/1.1 200', good],
  ] as const)('%s, over %s: %s', async (_, version, expected, identity) => {
    const served = pair.requests.length;
    expect(await handshake(identity, version)).toBe(expected);
    expect(pair.requests.length - served).toBe(expected === 'ended' ? 0 : 1);
  });

  test('each refusal is told, in words that may be printed', () => {
    expect(pair.refused.length).toBeGreaterThan(0);
    for (const reason of pair.refused) expect(reason).toMatch(/^[\w -]{1,100}$/);
  });
});

describe('the pool', () => {
  /** A clock that is moved by hand. */
  function handClock(): Clock & { nowMs: number } {
    return {
      nowMs: 0,
      now() {
        return this.nowMs;
      },
      wallNow: () => 0,
      setTimeout: () => ({ clear: () => undefined }),
    };
  }

  const wanted = { masterSaeId: 'M', slaves: ['S'], number: 1, sizeBits: 128 };

  test('it has so many keys at first, and as many more each second as it says, up to its capacity', () => {
    const clock = handClock();
    const pool = new KeyPool({ capacity: 10, refillPerSecond: 2, clock });
    expect(pool.take({ ...wanted, number: 11 }, () => true)).toBeUndefined();
    expect(pool.take({ ...wanted, number: 10 }, (keys) => keys.length)).toBe(10);
    expect(pool.stored).toBe(0);
    clock.nowMs = 1500;
    expect(pool.stored).toBe(3);
    clock.nowMs = 60_000;
    expect(pool.stored).toBe(10);
    pool.close();
  });

  test('without a refill it runs dry: 503', async () => {
    await using dry = await openPair({ capacity: 2, refillPerSecond: 0 });
    expect((await outcome('SAE_2/enc_keys?number=2', { at: dry.a }))[0]).toBe(200);
    expect(await outcome('SAE_2/enc_keys', { at: dry.a })).toEqual([
      503,
      { message: 'there are not enough keys' },
    ]);
    expect((await outcome('SAE_2/status', { at: dry.a }))[1]).toMatchObject({ stored_key_count: 0 });
  });

  test('keys are wiped when they are collected, when they have waited too long, and when it closes', () => {
    const clock = handClock();
    const pool = new KeyPool({ waitingMs: 1000, clock });
    const take = () => pool.take(wanted, (keys) => keys[0]);
    const [collected, expired] = [take(), take()];
    expect(pool.collect('S', 'M', [collected?.keyId ?? ''], ([key]) => key?.material.wiped)).toBe(false);
    expect(collected?.material.wiped).toBe(true);
    clock.nowMs = 999;
    expect(pool.waiting).toBe(1);
    clock.nowMs = 1000;
    expect(pool.waiting).toBe(0);
    expect(expired?.material.wiped).toBe(true);
    expect(pool.collect('S', 'M', [expired?.keyId ?? ''], () => true)).toBe('unknown');
    const last = take();
    pool.close();
    pool.close();
    expect(last?.material.wiped).toBe(true);
    expect(take).toThrow('the key pool is closed');
  });

  test('no more keys wait than it says', () => {
    const pool = new KeyPool({ maxWaiting: 2 });
    expect(pool.take({ ...wanted, number: 3 }, () => true)).toBeUndefined();
    expect(pool.take({ ...wanted, number: 2 }, () => true)).toBe(true);
    expect(pool.take(wanted, () => true)).toBeUndefined();
    pool.close();
  });

  test.each([
    [{ keySizeBits: 100 }, 'keySizeBits must be a multiple of 8; got 100'],
    [{ keySizeBits: 64, minKeySizeBits: 128 }, 'keySizeBits must be an integer from 128 to 4096; got 64'],
    [{ capacity: 0 }, 'capacity must be an integer from 1 to 1000000; got 0'],
  ])('%j is refused', (options, message) => {
    expect(refusal(() => new KeyPool(options))).toBe(message);
  });
});

describe('faults', () => {
  test.each([
    ['dec_keys:drop-after@0.1', { kind: 'drop-after', method: 'dec_keys', share: 0.1 }],
    ['status=503', { kind: 'status', status: 503 }],
    ['status:status', { kind: 'status', method: 'status' }],
    ['enc_keys:delay=2000x3', { kind: 'delay', method: 'enc_keys', delayMs: 2000, times: 3 }],
    ['short@.5x2', { kind: 'short', share: 0.5, times: 2 }],
  ])('%s is read', (text, fault) => {
    expect(parseFault(text)).toEqual(fault);
  });

  test.each([
    ['', /^fault must be \[METHOD:\]KIND/],
    ['shrt', /did you mean 'short'/],
    ['keys:short', /^the method of a fault must be one of/],
    ['short=5', /only status and delay have one/],
    ['status=99', /^fault.status must be an integer from 200 to 599; got 99$/],
    ['short@2', /^fault.share must be a number/],
    ['short@0', /^fault.share must be a number/],
    ['shortx0', /^fault.times must be an integer/],
  ])('%j is refused', (text, message) => {
    expect(refusal(() => parseFault(text))).toMatch(message);
  });

  test('each kind is read under its own name', () => {
    for (const kind of faultKinds) expect(parseFault(kind)).toEqual({ kind });
  });

  test('one strikes its method, its share of requests, and so many times', () => {
    const faults = new Faults(seededRandom(7));
    faults.add({ kind: 'short', method: 'enc_keys', times: 2 });
    faults.add({ kind: 'delay', share: 0.25 });
    const struck = Array.from({ length: 1000 }, (_, at) => [
      ...faults.strike(at % 2 === 0 ? 'enc_keys' : 'status').keys(),
    ]);
    expect(struck.filter((kinds) => kinds.includes('short'))).toHaveLength(2);
    const delayed = struck.filter((kinds) => kinds.includes('delay')).length;
    expect(delayed).toBeGreaterThan(200);
    expect(delayed).toBeLessThan(300);
    faults.clear();
    expect([...faults.strike('enc_keys').keys()]).toEqual([]);
  });
});

test('a port that is taken, and a certificate that is none, are told as such', async () => {
  const { port } = new URL(pair.a.url);
  const identity = tlsOf(authority.kme({ id: 'KME_C' }));
  const options = {
    kmeId: 'KME_C',
    targetKmeId: 'KME_D',
    pool: pair.pool,
    ca: authority.certificate,
    ...identity,
  };
  expect(await failureOf(KmeServer.listen({ ...options, port: Number(port) }))).toMatchObject({
    code: 'ERR_HAWSER_ADDRESS_IN_USE',
    message: `cannot listen on 127.0.0.1:${port}: another program listens there`,
  });
  expect(await failureOf(KmeServer.listen({ ...options, key: '-----BEGIN nothing' }))).toMatchObject({
    code: 'ERR_HAWSER_ARGUMENT',
  });
});

const curl = spawnSync('curl', ['--version']).status === 0;

test.skipIf(!curl)('curl gets keys as master and as slave', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-kme-'));
  try {
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const { spawn } = await import('node:child_process');
    const run = (sae: TestSae, ...args: readonly string[]): Promise<string> =>
      new Promise((resolve, reject) => {
        const { cert, key } = saeIdentities[sae];
        const tls = [
          '--cacert',
          file('ca.pem', authority.certificate),
          '--cert',
          file(`${sae}.pem`, cert),
          '--key',
          file(`${sae}.key`, key),
        ];
        const child = spawn('curl', [
          '--silent',
          '--show-error',
          '--fail-with-body',
          '--max-time',
          '100',
          '--noproxy',
          '*',
          ...tls,
          ...args,
        ]);
        let output = '';
        child.stdout.on('data', (data) => {
          output += data;
        });
        child.on('error', reject);
        child.on('close', () => resolve(output));
      });
    const url = (kme: KmeServer, path: string): string => `${kme.url}/api/v1/keys/${path}`;
    const taken: Container = JSON.parse(
      await run('SAE_1', '--json', '{"number":2,"size":128}', url(pair.a, 'SAE_2/enc_keys')),
    );
    expect(taken.keys).toHaveLength(2);
    const [first, second] = taken.keys;
    const got = await run('SAE_2', url(pair.b, `SAE_1/dec_keys?key_ID=${first?.key_ID}`));
    expect(JSON.parse(got)).toEqual({ keys: [first] });
    const ids = JSON.stringify({ key_IDs: [{ key_ID: second?.key_ID }] });
    expect(JSON.parse(await run('SAE_2', '--json', ids, url(pair.b, 'SAE_1/dec_keys')))).toEqual({
      keys: [second],
    });
    expect(await run('SAE_2', '--json', ids, url(pair.b, 'SAE_1/dec_keys'))).toBe(
      '{"message":"one or more keys specified are not found on KME"}',
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
