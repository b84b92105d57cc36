// What an etcd store can be told, and what transactions of etcd it makes.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { EtcdKeys } from '../../../src/sessions/store/etcd-keys.js';
import { epochOf } from '../../../src/sessions/store/etcd-lease.js';
import { checkEtcdOptions } from '../../../src/sessions/store/etcd-options.js';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { MergedTransactions } from '../../../src/sessions/store/etcd-txn.js';
import type { Transaction } from '../../../src/sessions/store/store.js';

const host = 'http://127.0.0.1:2379';

async function errorOf(options: unknown): Promise<HawserError> {
  try {
    // @ts-expect-error: what a caller without types may give.
    await openEtcdStore(options);
  } catch (error) {
    if (error instanceof HawserError) return error;
  }
  throw new Error('it was taken');
}

describe('options', () => {
  test('have defaults, and hosts a scheme', () => {
    expect(checkEtcdOptions({ hosts: '127.0.0.1:2379' })).toMatchObject({
      hosts: [host],
      namespace: 'hawser/',
      leaseTtlSeconds: 10,
      timeoutMs: 1000,
    });
    expect(checkEtcdOptions({ hosts: ['https://[::1]:2379/', 'https://etcd-2.example:1'] }).hosts).toEqual([
      'https://[::1]:2379',
      'https://etcd-2.example:1',
    ]);
  });

  test('round the time to live of a lease up to seconds', () => {
    expect(checkEtcdOptions({ hosts: host, leaseTtlMs: 5001 }).leaseTtlSeconds).toBe(6);
  });

  const odd: readonly unknown[] = [
    undefined,
    {},
    { hosts: [] },
    { hosts: '' },
    { hosts: 'http://127.0.0.1' },
    { hosts: 'http://127.0.0.1:0' },
    { hosts: 'http://127.0.0.1:65536' },
    { hosts: 'ftp://127.0.0.1:2379' },
    { hosts: 'http://127.0.0.1:2379/path' },
    { hosts: 'http://127.0.0.1:2379,http://127.0.0.1:2380' },
    { hosts: ['http://a:1', 'https://b:1'] },
    { hosts: Array(33).fill(host) },
    { hosts: [1] },
    { hosts: host, namespace: '' },
    { hosts: host, namespace: 'n'.repeat(257) },
    { hosts: host, leaseTtlMs: 4999 },
    { hosts: host, leaseTtlMs: 120_001 },
    { hosts: host, timeoutMs: 99 },
    { hosts: host, timeoutMs: 30_001 },
    { hosts: host, timeoutMs: '1000' },
    { hosts: host, credentials: { rootCertificate: new Uint8Array(1) } },
    { hosts: 'https://a:1', credentials: { rootCertificate: 'text' } },
    {
      hosts: 'https://a:1',
      credentials: { rootCertificate: new Uint8Array(1), privateKey: new Uint8Array(1) },
    },
    { hosts: host, auth: {} },
    { hosts: host, auth: { username: 'a' } },
    { hosts: host, auth: { username: '', password: 'b' } },
    { hosts: host, clock: {} },
    { hosts: host, timeout: 1 },
  ];

  test('that are none, or out of range, are refused', async () => {
    for (const options of odd) {
      expect((await errorOf(options)).code, JSON.stringify(options)).toBe('ERR_HAWSER_ARGUMENT');
    }
  });

  test('with a password in them appear in no message', async () => {
    const secret = [
      { hosts: 'http://root:hunter2@127.0.0.1:2379' },
      { hosts: host, auth: { username: 'root', password: ['hunter2'] } },
      { hosts: host, auth: { username: 'root', password: 'hunter2'.repeat(1000) } },
    ];
    for (const options of secret) expect((await errorOf(options)).message).not.toContain('hunter2');
  });
});

describe('keys', () => {
  const keys = new EtcdKeys('n/');

  test('lie in the namespace, beside the one of the format', () => {
    expect(keys.key('a/1').toString()).toBe('n/sessions/a/1');
    expect(keys.format.toString()).toBe('n/format');
    expect(keys.textOf(Buffer.from('n/sessions/é'))).toBe('é');
  });

  test('of a prefix end behind its last byte', () => {
    const { key, range_end } = keys.prefix('a/ÿ');
    expect(Buffer.compare(key, keys.key('a/ÿ!'))).toBeLessThan(0);
    expect(Buffer.compare(keys.key('a/ÿ\u{10ffff}'), range_end ?? key)).toBeLessThan(0);
    expect(Buffer.compare(keys.key('a/Ā'), range_end ?? key)).toBeGreaterThanOrEqual(0);
  });

  test('and revisions that no store has written are refused', () => {
    expect(() => keys.textOf(Buffer.from([...Buffer.from('n/sessions/'), 0xff]))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_STORE_FORMAT' }),
    );
    const entry = { key: keys.key('a'), value: Buffer.alloc(0), mod_revision: '9007199254740993' };
    expect(() => keys.entryOf(entry)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_STORE_FORMAT' }));
  });

  test('the epoch of a lease is its id in hexadecimal digits, also where that is negative', () => {
    expect(epochOf('1418812030611258633')).toBe('13b0a2064fa27d09');
    expect(epochOf('-1')).toBe('ffffffffffffffff');
  });
});

describe('transactions that become one of etcd', () => {
  const keys = new EtcdKeys('n/');
  const transaction = (n: number, bytes = 1, compares = 1): Transaction => ({
    compare: [
      { key: 'g/one', revision: 7 },
      ...Array.from({ length: compares }, (_, k) => ({ key: `a/${n}-${k}`, revision: 0 })),
    ],
    writes: [{ type: 'put', key: `a/${n}`, value: new Uint8Array(bytes) }],
  });
  const merge = (all: readonly Transaction[]): number => {
    const merged = new MergedTransactions();
    const end = all.findIndex((each) => !merged.add(each));
    const { compare = [], success = [] } = merged.request(keys, () => undefined);
    expect(compare.length).toBeLessThanOrEqual(128);
    expect(success).toHaveLength(end < 0 ? all.length : end);
    return success.length;
  };

  test('have at most 100 writes and 100 comparisons, of which equal ones count once', () => {
    const numbers = Array.from({ length: 300 }, (_, n) => n);
    expect(merge(numbers.map((n) => transaction(n, 1, 0)))).toBe(100);
    expect(merge(numbers.map((n) => transaction(n)))).toBe(99);
    expect(merge(numbers.map((n) => transaction(n, 1, 5)))).toBe(19);
  });

  test('have at most half a mebibyte; one alone may have more', () => {
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    expect(merge(numbers.map((n) => transaction(n, 100_000)))).toBe(5);
    expect(merge(numbers.map((n) => transaction(n, 10_000_000)))).toBe(1);
  });

  test('agree on what they compare', () => {
    const other: Transaction = { compare: [{ key: 'g/one', revision: 8 }], writes: [] };
    expect(merge([transaction(1), transaction(2), other, transaction(3)])).toBe(2);
  });

  test('do not contradict themselves: one that does is alone', () => {
    const odd: Transaction = {
      compare: [
        { key: 'a', revision: 1 },
        { key: 'a', revision: 2 },
      ],
      writes: [{ type: 'put', key: 'b', value: new Uint8Array() }],
    };
    expect(merge([odd, transaction(1)])).toBe(1);
    expect(merge([transaction(1), odd])).toBe(1);
  });
});
