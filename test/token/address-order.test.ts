import { expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../src/base/address.js';
import { reorderAddresses } from '../../src/token/address-order.js';
import { publicOffset } from '../../src/token/format.js';
import { decodeToken, mintToken } from '../../src/token/index.js';
import { invalidToken, mintOptions, mostAddresses, now } from './support.js';

const listed = ['192.0.2.1:1', '[2001:db8::1]:2', '192.0.2.1:3', '[2001:db8::2]:4'];
const token = await mintToken({ ...mintOptions, now, addresses: listed });

const addressesOf = (bytes: Uint8Array): string[] => decodeToken(bytes).addresses.map(formatAddress);

function order(first: string | undefined, last?: string): Uint8Array {
  const parse = (text: string | undefined) => (text === undefined ? undefined : parseAddress(text));
  return reorderAddresses(token, { first: parse(first), last: parse(last) });
}

test('the first address comes before the others, which keep their order', () => {
  expect(addressesOf(order('192.0.2.1:3'))).toEqual([
    '192.0.2.1:3',
    '192.0.2.1:1',
    '[2001:db8::1]:2',
    '[2001:db8::2]:4',
  ]);
  expect(addressesOf(order('192.0.2.1:1'))).toEqual(listed);
});

test('the last address comes last, and the one behind it first', () => {
  const rounds = listed.map((last) => addressesOf(order(undefined, last)));
  for (const [n, addresses] of rounds.entries()) {
    expect(addresses).toEqual([...listed.slice(n + 1), ...listed.slice(0, n + 1)]);
  }
});

test('the first address stays first where another is the last, and where it is that one itself', () => {
  expect(addressesOf(order('[2001:db8::2]:4', '[2001:db8::1]:2'))).toEqual([
    '[2001:db8::2]:4',
    '192.0.2.1:3',
    '192.0.2.1:1',
    '[2001:db8::1]:2',
  ]);
  expect(addressesOf(order('192.0.2.1:3', '192.0.2.1:3'))[0]).toBe('192.0.2.1:3');
});

test('an address is the same however it is written', () => {
  expect(addressesOf(order('[2001:DB8:0::2]:4'))[0]).toBe('[2001:db8::2]:4');
  expect(addressesOf(order('[::ffff:192.0.2.1]:3'))[0]).toBe('192.0.2.1:3');
});

test('what the token does not list is passed over', () => {
  expect(order('192.0.2.1:2', '192.0.2.2:1')).toEqual(token);
  expect(order(undefined)).toBe(token);
});

test('nothing but the order is another, and the given token stays as it is', () => {
  const before = token.slice();
  const ordered = order('[2001:db8::2]:4', '192.0.2.1:1');
  expect(token).toEqual(before);
  const buffer = Buffer.from(token);
  expect(reorderAddresses(buffer, { first: parseAddress('[2001:db8::2]:4'), last: undefined })).not.toEqual(
    before,
  );
  expect(new Uint8Array(buffer)).toEqual(before);
  expect(ordered).toHaveLength(token.length);
  const { addresses } = publicOffset;
  expect(ordered.slice(0, addresses)).toEqual(token.slice(0, addresses));
});

test('the longest token can be ordered', async () => {
  const longest = await mintToken({ ...mintOptions, now, addresses: mostAddresses });
  const last = parseAddress(mostAddresses[30] ?? '');
  expect(addressesOf(reorderAddresses(longest, { first: undefined, last }))).toEqual([
    mostAddresses[31],
    ...mostAddresses.slice(0, 31),
  ]);
});

test('what is no token is refused', () => {
  const some = { first: parseAddress('192.0.2.1:3'), last: undefined };
  expect(() => reorderAddresses(new Uint8Array(10), some)).toThrow(invalidToken);
});
