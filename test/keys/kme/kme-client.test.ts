// The client and the KME over real HTTPS with certificates on both sides: what is delivered, and each way in which it is not.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kmeChannelName } from '../../../src/keys/kme/diagnostics.js';
import { type KmeFault, parseFault } from '../../../src/keys/kme/faults.js';
import type { DeliveredKey } from '../../../src/keys/kme/key-source.js';
import { KmeClient } from '../../../src/keys/kme/kme-client.js';
import { readErrorMessage, readStatus } from '../../../src/keys/kme/kme-json.js';
import { refusal } from '../../base/refusal.js';
import { TurnTime } from '../turn-time.js';
import {
  authority,
  clientTls,
  failureOf,
  idsOf,
  openPair,
  type Pair,
  strangerAuthority,
  tlsOf,
} from './support.js';

let pair: Pair;
/** What time-outs that are to pass are measured by: the handshake and the request come before any of them. */
let time: TurnTime;
let master: KmeClient;
let slave: KmeClient;

beforeEach(async () => {
  pair = await openPair();
  time = new TurnTime();
  master = pair.client('SAE_1', pair.a);
  slave = pair.client('SAE_2', pair.b);
});

afterEach(async () => {
  await time.close();
  await pair[Symbol.asyncDispose]();
});

function hexOf(keys: readonly DeliveredKey[]): readonly string[] {
  return keys.map(({ material }) => Buffer.from(material.bytes).toString('hex'));
}

function wipe(...lists: (readonly DeliveredKey[])[]): void {
  for (const { material } of lists.flat()) material.wipe();
}

/** What was asked of the KMEs: methods and statuses. */
function asked(): readonly string[] {
  return pair.requests.map(({ method, status }) => `${method} ${status}`);
}

test('a status has all fields of the standard', async () => {
  expect(await master.status('SAE_2')).toEqual({
    sourceKmeId: 'KME_A',
    targetKmeId: 'KME_B',
    masterSaeId: 'SAE_1',
    slaveSaeId: 'SAE_2',
    keySizeBits: 256,
    storedKeyCount: 10_000,
    maxKeyCount: 10_000,
    maxKeysPerRequest: 128,
    maxKeySizeBits: 4096,
    minKeySizeBits: 64,
    maxSaeIdCount: 0,
  });
});

test('master and slave get the same keys, the slave in the order that it asks for', async () => {
  const keys = await master.getKeys('SAE_2', { number: 3, sizeBits: 512 });
  expect(keys.map(({ material }) => material.length)).toEqual([64, 64, 64]);
  const reversed = idsOf(keys).toReversed();
  const same = await slave.getKeysWithIds('SAE_1', reversed);
  expect(idsOf(same)).toEqual(reversed);
  expect(hexOf(same)).toEqual(hexOf(keys).toReversed());
  expect(new Set(hexOf(keys)).size).toBe(3);
  wipe(keys, same);
});

test('a key is delivered once', async () => {
  const keys = await master.getKeys('SAE_2', { number: 1 });
  wipe(keys, await slave.getKeysWithIds('SAE_1', idsOf(keys)));
  const { code, message } = await failureOf(slave.getKeysWithIds('SAE_1', idsOf(keys)));
  expect(code).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
  expect(message).toContain('one or more keys specified are not found on KME');
  expect(pair.pool.waiting).toBe(0);
});

test('more keys than one request may have are asked for in several, by the limits of one status', async () => {
  await using small = await openPair({ maxKeysPerRequest: 4 });
  const client = small.client('SAE_1', small.a);
  const keys = await client.getKeys('SAE_2', { number: 10 });
  wipe(keys, await client.getKeys('SAE_2', { number: 2 }));
  expect(new Set(idsOf(keys)).size).toBe(10);
  expect(small.requests.map(({ method, keys: count }) => [method, count])).toEqual([
    ['status', 0],
    ['enc_keys', 4],
    ['enc_keys', 4],
    ['enc_keys', 2],
    ['enc_keys', 2],
  ]);
});

test.each([
  [{ number: 1, sizeBits: 56 }, 'the KME delivers keys of 64 to 4096 bits, none of 56'],
  [{ number: 1, sizeBits: 4104 }, 'the KME delivers keys of 64 to 4096 bits, none of 4104'],
])('a size beyond the limits is not asked for (edge case 12): %j', async (wanted, message) => {
  expect(await failureOf(master.getKeys('SAE_2', wanted))).toMatchObject({
    code: 'ERR_HAWSER_KME_REFUSED',
    message,
  });
  expect(asked()).toEqual(['status 200']);
});

test('a size that is no multiple of 8 is an argument error (edge case 12)', async () => {
  expect(await failureOf(master.getKeys('SAE_2', { number: 1, sizeBits: 100 }))).toMatchObject({
    code: 'ERR_HAWSER_ARGUMENT',
    message: 'sizeBits must be a multiple of 8; got 100',
  });
});

test.each(['SAE_ü "x", 🔑', '..', 'a/b?c#d', '%2F', 'a b+c'])('an id may be any text: %j', async (saeId) => {
  const identity = tlsOf(authority.sae({ id: saeId }));
  const other = new KmeClient({ url: pair.b.url, ca: authority.certificate, ...identity });
  const keys = await master.getKeys(saeId, { number: 1 });
  const same = await other.getKeysWithIds('SAE_1', idsOf(keys));
  expect(hexOf(same)).toEqual(hexOf(keys));
  wipe(keys, same);
  expect(pair.requests.at(-1)?.saeId).toBe(saeId);
  other.close();
});

describe('edge case 11, each status code', () => {
  const cases: readonly (readonly [string, string, string, number])[] = [
    // Fault, method called, code, requests with that status.
    ['enc_keys:status=400', 'enc', 'ERR_HAWSER_KME_REFUSED', 1],
    ['enc_keys:status=401', 'enc', 'ERR_HAWSER_KME_REFUSED', 1],
    ['enc_keys:status=403', 'enc', 'ERR_HAWSER_KME_REFUSED', 1],
    ['enc_keys:status=404', 'enc', 'ERR_HAWSER_KME_REFUSED', 1],
    ['enc_keys:status=429', 'enc', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['enc_keys:status=500', 'enc', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['enc_keys:status=503', 'enc', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['enc_keys:status=302', 'enc', 'ERR_HAWSER_PROTOCOL', 1],
    ['enc_keys:status=204', 'enc', 'ERR_HAWSER_PROTOCOL', 1],
    ['status:status=503', 'enc', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['status:status=401', 'enc', 'ERR_HAWSER_KME_REFUSED', 1],
    ['dec_keys:status=400', 'dec', 'ERR_HAWSER_KME_REFUSED', 1],
    ['dec_keys:status=401', 'dec', 'ERR_HAWSER_KME_REFUSED', 1],
    ['dec_keys:status=429', 'dec', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['dec_keys:status=503', 'dec', 'ERR_HAWSER_KME_UNAVAILABLE', 5],
    ['dec_keys:status=500', 'dec', 'ERR_HAWSER_KEY_UNAVAILABLE', 1],
    ['dec_keys:status=502', 'dec', 'ERR_HAWSER_KEY_UNAVAILABLE', 1],
    ['dec_keys:status=307', 'dec', 'ERR_HAWSER_PROTOCOL', 1],
  ];

  test.each(cases)('%s', async (fault, call, code, requests) => {
    const parsed = parseFault(fault);
    const keys = await master.getKeys('SAE_2', { number: 1 });
    wipe(keys);
    pair.requests.length = 0;
    pair.a.inject(parsed);
    pair.b.inject(parsed);
    const fresh = pair.client('SAE_1', pair.a);
    const failed =
      call === 'enc' ? fresh.getKeys('SAE_2', { number: 1 }) : slave.getKeysWithIds('SAE_1', idsOf(keys));
    expect((await failureOf(failed)).code).toBe(code);
    expect(pair.requests.filter(({ status }) => status === parsed.status)).toHaveLength(requests);
  });

  test.each(['status', 'enc_keys', 'dec_keys'] as const)(
    '503 twice, then all is well: %s',
    async (method) => {
      for (const kme of [pair.a, pair.b]) kme.inject({ kind: 'status', status: 503, method, times: 2 });
      const keys = await master.getKeys('SAE_2', { number: 1 });
      const same = await slave.getKeysWithIds('SAE_1', idsOf(keys));
      expect(hexOf(same)).toEqual(hexOf(keys));
      wipe(keys, same);
      expect(asked().filter((line) => line === `${method} 503`)).toHaveLength(2);
    },
  );
});

describe('edge cases 11 and 12, an answer that is wrong', () => {
  const wrong: readonly (readonly [KmeFault['kind'], string])[] = [
    ['short', 'the KME delivered 1 keys instead of 2'],
    ['duplicate', "the KME's answer is no key container: two keys have the same id"],
    ['wrong-size', 'the KME delivered a key of 248 bits instead of 256'],
    ['bad-base64', "the KME's answer is no key container: a key is no base64"],
    ['garbage', "the KME's answer is no key container: no JSON: a value is missing at 0"],
    ['media-type', 'the KME answers with something else than application/json'],
    ['too-long', `KME URL: the answer is longer than 1048576 bytes`],
  ];

  test.each(wrong)('new keys: %s', async (kind, message) => {
    pair.a.inject({ kind, method: 'enc_keys' });
    const failure = await failureOf(master.getKeys('SAE_2', { number: 2 }));
    expect(failure.code).toBe('ERR_HAWSER_PROTOCOL');
    expect(failure.message.replace(pair.a.url, 'URL')).toBe(message);
    expect(asked()).toEqual(['status 200', 'enc_keys 200']);
  });

  const named: readonly (readonly [KmeFault['kind'], string, string])[] = [
    ['short', 'ERR_HAWSER_PROTOCOL', 'of 2 keys the KME delivered 1 by their ids'],
    ['foreign', 'ERR_HAWSER_PROTOCOL', 'of 2 keys the KME delivered 1 by their ids'],
    ['duplicate', 'ERR_HAWSER_PROTOCOL', "the KME's answer is no key container: two keys have the same id"],
    ['bad-base64', 'ERR_HAWSER_PROTOCOL', "the KME's answer is no key container: a key is no base64"],
    [
      'garbage',
      'ERR_HAWSER_PROTOCOL',
      "the KME's answer is no key container: no JSON: a value is missing at 0",
    ],
  ];

  test.each(named)('keys by their ids: %s', async (kind, code, message) => {
    const keys = await master.getKeys('SAE_2', { number: 2 });
    wipe(keys);
    pair.b.inject({ kind, method: 'dec_keys' });
    expect(await failureOf(slave.getKeysWithIds('SAE_1', idsOf(keys)))).toMatchObject({ code, message });
    expect(asked().filter((line) => line.startsWith('dec_keys'))).toHaveLength(1);
  });

  test('a status that is none', async () => {
    pair.a.inject({ kind: 'garbage', method: 'status' });
    expect((await failureOf(master.status('SAE_2'))).message).toBe(
      "the KME's answer is no status: it is no JSON object",
    );
  });
});

describe('a status', () => {
  // The example of ETSI GS QKD 014 V1.1.1, clause 6.1.
  const example = {
    source_KME_ID: 'AAAABBBBCCCCDDDD',
    target_KME_ID: 'EEEEFFFFGGGGHHHH',
    master_SAE_ID: 'IIIIJJJJKKKKLLLL',
    slave_SAE_ID: 'MMMMNNNNOOOOPPPP',
    key_size: 352,
    stored_key_count: 25_000,
    max_key_count: 100_000,
    max_key_per_request: 128,
    max_key_size: 1024,
    min_key_size: 64,
    max_SAE_ID_count: 0,
  };
  const read = (status: object) => readStatus(Buffer.from(JSON.stringify(status)));

  test('as the standard shows it is taken, with an extension and more besides', () => {
    const status = read({ ...example, status_extension: {}, vendor: [1] });
    expect(status).toMatchObject({
      sourceKmeId: 'AAAABBBBCCCCDDDD',
      keySizeBits: 352,
      maxKeysPerRequest: 128,
    });
  });

  test.each(Object.entries(example))('without a good %s is refused', (name, good) => {
    const bad = typeof good === 'string' ? ['', 5, null, 'x'.repeat(257)] : [-1, 1.5, '5', null, 1e300];
    for (const value of bad) {
      expect(() => read({ ...example, [name]: value })).toThrow(
        `the KME's answer is no status: ${name} is missing or no`,
      );
    }
    expect(() => read({ ...example, [name]: undefined })).toThrow(`${name} is missing`);
  });
});

describe('edge case 11, an answer of dec_keys that is lost', () => {
  test.each(['drop-after', 'truncate', 'drop-before'] as const)(
    '%s: nothing is asked for twice',
    async (kind) => {
      const keys = await master.getKeys('SAE_2', { number: 1 });
      wipe(keys);
      pair.b.inject({ kind, method: 'dec_keys' });
      const failure = await failureOf(slave.getKeysWithIds('SAE_1', idsOf(keys)));
      expect(failure.code).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
      expect(failure.message).toMatch(/; keys are delivered once, so those may be gone: take new ones$/);
      expect(asked().filter((line) => line.startsWith('dec_keys'))).toEqual(['dec_keys null']);
      expect(pair.pool.waiting).toBe(kind === 'drop-before' ? 1 : 0);
    },
  );

  test('a KME that is silent: the same, once the time of the call is over', async () => {
    const keys = await master.getKeys('SAE_2', { number: 1 });
    wipe(keys);
    pair.b.inject({ kind: 'delay', delayMs: 60_000 });
    const hasty = pair.client('SAE_2', pair.b, { timeoutMs: 300, answerTimeoutMs: 10, clock: time.clock });
    const failure = await failureOf(hasty.getKeysWithIds('SAE_1', idsOf(keys)));
    expect(failure.code).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
    expect(failure.message).toMatch(/no answer within \d+ ms; keys are delivered once/);
  });

  test('no connection at all: asked for again, then ERR_HAWSER_KME_UNAVAILABLE, since nothing is consumed', async () => {
    const keys = await master.getKeys('SAE_2', { number: 1 });
    wipe(keys);
    await pair.b.close();
    const told: number[] = [];
    const listen = (message: unknown): void => {
      if (typeof message === 'object' && message !== null && 'attempt' in message)
        told.push(Number(message.attempt));
    };
    subscribe(kmeChannelName, listen);
    const failure = await failureOf(slave.getKeysWithIds('SAE_1', idsOf(keys)));
    unsubscribe(kmeChannelName, listen);
    expect(failure.code).toBe('ERR_HAWSER_KME_UNAVAILABLE');
    expect(told).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('edge case 11, a connection that breaks while new keys are asked for', () => {
  test.each(['drop-before', 'drop-after', 'truncate'] as const)('%s: others are asked for', async (kind) => {
    pair.a.inject({ kind, method: 'enc_keys', times: 2 });
    const keys = await master.getKeys('SAE_2', { number: 1 });
    const same = await slave.getKeysWithIds('SAE_1', idsOf(keys));
    expect(hexOf(same)).toEqual(hexOf(keys));
    wipe(keys, same);
  });

  test('a KME that is slow: asked again after answerTimeoutMs', async () => {
    pair.a.inject({ kind: 'delay', delayMs: 60_000, method: 'enc_keys', times: 1 });
    const hasty = pair.client('SAE_1', pair.a, { answerTimeoutMs: 200, clock: time.clock });
    wipe(await hasty.getKeys('SAE_2', { number: 1 }));
  });

  test('a KME that stays silent: given up after timeoutMs', async () => {
    pair.a.inject({ kind: 'delay', delayMs: 60_000, method: 'status' });
    const hasty = pair.client('SAE_1', pair.a, { timeoutMs: 250, clock: time.clock });
    expect(await failureOf(hasty.getKeys('SAE_2', { number: 1 }))).toMatchObject({
      code: 'ERR_HAWSER_KME_UNAVAILABLE',
    });
  });
});

describe('who is not trusted', () => {
  async function statusError(options: ConstructorParameters<typeof KmeClient>[0]): Promise<string> {
    const client = new KmeClient({ retryMs: 1, ...options });
    const { code } = await failureOf(client.status('SAE_2'));
    client.close();
    return code;
  }

  test('a KME whose certificate another authority signed', async () => {
    const trusts = { ...clientTls('SAE_1'), ca: strangerAuthority.certificate };
    expect(await statusError({ url: pair.a.url, ...trusts })).toBe('ERR_HAWSER_TLS');
    expect(pair.requests).toEqual([]);
  });

  test('a KME whose certificate is of another host', async () => {
    const other = tlsOf(authority.kme({ id: 'KME_X', hosts: ['kme.example'] }));
    await using elsewhere = await openPair({}, { ...other, host: '127.0.0.2' });
    expect(await statusError({ url: elsewhere.a.url, ...clientTls('SAE_1') })).toBe('ERR_HAWSER_TLS');
  });

  test('a KME with another id than kmeId; with its own it is, whatever its host', async () => {
    expect(await statusError({ url: pair.a.url, ...clientTls('SAE_1'), kmeId: 'KME_B' })).toBe(
      'ERR_HAWSER_TLS',
    );
    const other = tlsOf(authority.kme({ id: 'KME_X' }));
    await using elsewhere = await openPair({}, { ...other, host: '127.0.0.2' });
    const client = elsewhere.client('SAE_1', elsewhere.a, { kmeId: 'KME_X' });
    expect((await client.status('SAE_2')).sourceKmeId).toBe('KME_A');
  });

  test('an SAE whose certificate another authority signed: the KME ends the connection', async () => {
    const stranger = tlsOf(strangerAuthority.sae({ id: 'SAE_1' }));
    const code = await statusError({ url: pair.a.url, ca: authority.certificate, ...stranger });
    expect(['ERR_HAWSER_TLS', 'ERR_HAWSER_KME_UNAVAILABLE']).toContain(code);
    expect(pair.requests).toEqual([]);
  });

  test('an SAE with the certificate of a KME, which is for servers only', async () => {
    const kme = tlsOf(authority.kme({ id: 'SAE_1' }));
    const code = await statusError({ url: pair.a.url, ca: authority.certificate, ...kme });
    expect(['ERR_HAWSER_TLS', 'ERR_HAWSER_KME_UNAVAILABLE']).toContain(code);
    expect(pair.requests).toEqual([]);
  });

  test('a KME with the certificate of an SAE, which is for clients only', async () => {
    const sae = tlsOf(authority.sae({ id: 'KME_A' }));
    await using wrong = await openPair({}, sae);
    expect(await statusError({ url: wrong.a.url, ...clientTls('SAE_1'), kmeId: 'KME_A' })).toBe(
      'ERR_HAWSER_TLS',
    );
  });
});

describe('servers that are none', () => {
  async function withServer(server: Server, run: (url: string) => Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const bound = server.address();
    try {
      await run(`https://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`);
    } finally {
      server.close();
    }
  }

  test('one that accepts and says nothing: given up after connectTimeoutMs', async () => {
    const server = createTcpServer((socket) => socket.on('error', () => undefined).resume());
    await withServer(server, async (url) => {
      const client = new KmeClient({
        url,
        ...clientTls('SAE_1'),
        connectTimeoutMs: 50,
        maxAttempts: 2,
        retryMs: 1,
      });
      const failure = await failureOf(client.getKeysWithIds('SAE_2', ['1']));
      client.close();
      expect(failure.code).toBe('ERR_HAWSER_KME_UNAVAILABLE');
      expect(failure.message).toContain('no connection within 50 ms');
    });
  });

  const ok = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
  /** What a KME writes, by its turn; from then on the last again and again. */
  const hostile: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['drips its answer', [`${ok}content-length: 1000000\r\n\r\n`, ' '], /no answer within/],
    ['says without end that it works on it', ['HTTP/1.1 102 Processing\r\n\r\n'], /no answer within/],
    [
      'would speak something else',
      ['HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
      /./,
    ],
    ['never ends its headers', [ok, `a: ${'x'.repeat(4000)}\r\n`], /Header|header/],
    ['says two lengths', [`${ok}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`], /Content-Length/],
    ['compresses', [`${ok}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}`], /compressed/],
    // So long that the bound of the answer comes first, also on a busy machine.
    ['has more than was asked for without end', [`${ok}\r\n`, '['.repeat(100_000)], /longer than/],
  ];
  test.each(hostile)('a KME that %s ends the call, with the keys given up', async (_, writes, message) => {
    // Silence is what the short time is for: what else is wrong has to be seen first, also on a busy machine.
    const limits = message.test('no answer within')
      ? { timeoutMs: 400, clock: time.clock }
      : { timeoutMs: 100_000, connectTimeoutMs: 60_000 };
    const identity = tlsOf(authority.kme({ id: 'KME_X' }));
    const sockets = new Set<Socket>();
    const server = createTlsServer(
      { ...identity, ca: authority.certificate, requestCert: true },
      (socket) => {
        let turn = 0;
        sockets.add(socket);
        const timer = setInterval(() => socket.write(writes[Math.min(turn++, writes.length - 1)] ?? ''), 2);
        socket
          .on('error', () => undefined)
          .on('close', () => clearInterval(timer))
          .resume();
      },
    );
    await withServer(server, async (url) => {
      const client = new KmeClient({ url, ...clientTls('SAE_1'), ...limits, retryMs: 1 });
      const failure = await failureOf(client.getKeysWithIds('SAE_2', ['1']));
      client.close();
      for (const socket of sockets) socket.destroy();
      expect(failure.code).toMatch(/^ERR_HAWSER_(?:KEY_UNAVAILABLE|PROTOCOL)$/);
      expect(failure.message).toMatch(message);
    });
  });

  test('one that speaks HTTP without TLS', async () => {
    await withServer(createServer(), async (url) => {
      const client = new KmeClient({ url, ...clientTls('SAE_1'), retryMs: 1 });
      expect((await failureOf(client.status('SAE_2'))).code).toMatch(/^ERR_HAWSER_(?:TLS|KME_UNAVAILABLE)$/);
      client.close();
    });
  });
});

describe('giving up', () => {
  test('many calls that wait for a KME without keys end with it, and without a warning of Node.js', async () => {
    const warnings: string[] = [];
    const warn = ({ message }: Error): void => void warnings.push(message);
    process.on('warning', warn);
    pair.a.inject(parseFault('status=503'));
    const client = pair.client('SAE_1', pair.a, { retryMs: 20_000 });
    const calls = Array.from({ length: 20 }, () => failureOf(client.status('SAE_2')));
    while (pair.requests.length < calls.length) await new Promise((resolve) => setTimeout(resolve, 5));
    client.close();
    expect(new Set((await Promise.all(calls)).map(({ code }) => code))).toEqual(
      new Set(['ERR_HAWSER_CLOSED']),
    );
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  test('an AbortSignal ends a call at once, and the pause between requests', async () => {
    pair.a.inject({ kind: 'delay', delayMs: 60_000, times: 1 });
    const first = new AbortController();
    const call = failureOf(master.status('SAE_2', { signal: first.signal }));
    first.abort();
    expect((await call).code).toBe('ERR_HAWSER_ABORTED');
    pair.a.clearFaults();
    pair.a.inject({ kind: 'status', status: 503 });
    const patient = pair.client('SAE_1', pair.a, { retryMs: 20_000, timeoutMs: 60_000 });
    const second = new AbortController();
    const listen = (): void => queueMicrotask(() => second.abort());
    subscribe(kmeChannelName, listen);
    expect((await failureOf(patient.status('SAE_2', { signal: second.signal }))).code).toBe(
      'ERR_HAWSER_ABORTED',
    );
    unsubscribe(kmeChannelName, listen);
    expect((await failureOf(patient.status('SAE_2', { signal: AbortSignal.abort() }))).code).toBe(
      'ERR_HAWSER_ABORTED',
    );
  });

  test('close ends what is under way, and what comes later', async () => {
    pair.a.inject({ kind: 'delay', delayMs: 60_000 });
    const call = failureOf(master.status('SAE_2'));
    master.close();
    master.close();
    expect((await call).code).toBe('ERR_HAWSER_CLOSED');
    expect((await failureOf(master.getKeys('SAE_2', { number: 1 }))).code).toBe('ERR_HAWSER_CLOSED');
  });
});

test('the diagnostics channel tells of each request, and never of a key', async () => {
  const told: unknown[] = [];
  const listen = (message: unknown): void => void told.push(message);
  subscribe(kmeChannelName, listen);
  const keys = await master.getKeys('SAE_2', { number: 2 });
  pair.b.inject({ kind: 'status', status: 400, method: 'dec_keys', times: 1 });
  await failureOf(slave.getKeysWithIds('SAE_1', idsOf(keys)));
  const same = await slave.getKeysWithIds('SAE_1', idsOf(keys));
  unsubscribe(kmeChannelName, listen);
  const common = { attempt: 1, durationMs: expect.any(Number), code: null, status: 200 };
  expect(told).toEqual([
    { ...common, kme: pair.a.url, method: 'status', peerSaeId: 'SAE_2', keys: 0 },
    { ...common, kme: pair.a.url, method: 'enc_keys', peerSaeId: 'SAE_2', keys: 2 },
    {
      ...common,
      kme: pair.b.url,
      method: 'dec_keys',
      peerSaeId: 'SAE_1',
      keys: 0,
      status: 400,
      code: 'ERR_HAWSER_KME_REFUSED',
    },
    { ...common, kme: pair.b.url, method: 'dec_keys', peerSaeId: 'SAE_1', keys: 2 },
  ]);
  const text = JSON.stringify([told, pair.requests]);
  for (const { material } of keys) {
    const bytes = Buffer.from(material.bytes);
    for (const encoding of ['hex', 'base64', 'latin1'] as const)
      expect(text).not.toContain(bytes.toString(encoding));
  }
  wipe(keys, same);
});

test('what a KME says of a refusal is shown, but nothing that a terminal obeys, and not without end', () => {
  const answers = [
    Buffer.from(JSON.stringify({ message: `\u001b[31mno\n${'x'.repeat(5000)}` })),
    Buffer.from('{"message":5}'),
    Buffer.from([0xff, 0xfe]),
  ];
  const [long = '', ...others] = answers.map(readErrorMessage);
  expect(long).toMatch(/^\?\[31mno\?x+\.\.\.$/);
  expect(long.length).toBe(203);
  expect(others).toEqual(['', '']);
});

describe('options', () => {
  const good = { url: 'https://127.0.0.1:1', ...clientTls('SAE_1') };
  test.each([
    [{ ...good, url: 'http://127.0.0.1:1' }, /^url must be a URL such as .* got a string of 18 characters$/],
    [{ ...good, url: 'https://user:secret@127.0.0.1' }, /^url must be .* got a string of 29 characters$/],
    [{ ...good, url: 'https://127.0.0.1/?a' }, /^url must be/],
    [{ ...good, key: 'secret' }, /^key must be PEM, as a string or its bytes; got a string of 6 characters$/],
    [{ ...good, timeoutMs: 0 }, /^timeoutMs must be an integer from 10 to 600000; got 0$/],
    [{ ...good, kmeId: '' }, /^kmeId must be a string of 1 to 256 bytes/],
    [{ ...good, timeoutMS: 1 }, /^unknown option 'timeoutMS' in options; did you mean 'timeoutMs'\?$/],
  ])('%# is refused', (options, message) => {
    expect(refusal(() => new KmeClient(options))).toMatch(message);
  });

  test.each([
    ['that are cut off', { cert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' }],
    ['of which one is of another SAE', { key: clientTls('SAE_2').key }],
  ])('PEM texts %s are found at once', (_, wrong) => {
    expect(refusal(() => new KmeClient({ ...good, ...wrong }))).toBe(
      'ca, cert and key must be PEM that TLS can use',
    );
  });

  test('the bytes of the private key are not needed once the client is there', async () => {
    const key = Buffer.from(good.key);
    const client = new KmeClient({ ...good, key, url: pair.a.url });
    key.fill(0);
    expect((await client.status('SAE_2')).masterSaeId).toBe('SAE_1');
    client.close();
  });

  test('a KME may be behind a path', async () => {
    const client = new KmeClient({ ...good, url: `${pair.a.url}/kme/`, retryMs: 1 });
    expect((await failureOf(client.status('SAE_2'))).message).toBe(
      'the KME answers 404 (there is no such path)',
    );
    client.close();
  });
});
