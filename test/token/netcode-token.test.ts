// Connect tokens of netcode 1.02: minted as the C library does and as the reference implementation does, and read back.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  createNetcodeTokenMinter,
  decodeNetcodeToken,
  encodeNetcodeToken,
  formatKey,
  generateKey,
  type MintNetcodeTokenOptions,
  mintNetcodeToken,
  mintToken,
  openNetcodeToken,
  tokenId,
} from '../../src/token/index.js';
import { wireOfToken } from '../../src/token/netcode-format.js';
import { inputs, tokenVectors } from '../protocol/netcode-vectors.js';
import { concat, fromHex, toHex } from '../reference/bytes.js';
import { fromEndpoint } from '../reference/endpoints.js';
import * as hawser1 from '../reference/hawser1.js';
import * as reference from '../reference/netcode.js';
import {
  anyNetcodeTokenOptions,
  countingRandom,
  createTimeMs,
  mintOptions,
  mostAddresses,
  now,
  serverKey,
  wrongArgument,
  wrongMintOptions,
} from './support.js';

function filledUp(userData: Uint8Array): Uint8Array {
  return concat(userData, new Uint8Array(256 - userData.length));
}

beforeAll(() => reference.ready);

describe('the tokens of the C library', () => {
  const privateKey = fromHex(inputs.private_key);
  const seconds = (text: string): number => Number(text) * 1000;

  test.each(tokenVectors)('$name is opened', async (vector) => {
    const token = fromHex(vector.token);
    expect(wireOfToken(token)).toBe('netcode');
    const opened = await openNetcodeToken(token, [privateKey]);
    const { addresses, sealedPrivate, ...rest } = opened;
    expect(rest).toEqual({
      protocolId: BigInt(inputs.protocol_id),
      createTimeMs: seconds(vector.create_timestamp),
      expireTimeMs: seconds(vector.expire_timestamp),
      timeoutMs: vector.timeout * 1000,
      clientToServerKey: fromHex(inputs.client_to_server_key),
      serverToClientKey: fromHex(inputs.server_to_client_key),
      nonce: fromHex(inputs.connect_token_nonce),
      clientId: BigInt(vector.client_id),
      userData: fromHex(inputs.user_data),
    });
    expect(addresses.map(({ host, port }) => `${host}:${port}`)).toEqual(vector.addresses);
    expect(toHex(sealedPrivate)).toBe(vector.private_encrypted);
  });

  test.each(tokenVectors)('$name is minted again byte for byte', async (vector) => {
    const drawn = fromHex(
      inputs.connect_token_nonce + inputs.client_to_server_key + inputs.server_to_client_key,
    );
    const token = await mintNetcodeToken({
      protocolId: BigInt(inputs.protocol_id),
      key: privateKey,
      clientId: BigInt(vector.client_id),
      addresses: vector.addresses,
      lifetimeMs: seconds(vector.expire_timestamp) - seconds(vector.create_timestamp),
      timeoutMs: vector.timeout * 1000,
      userData: fromHex(inputs.user_data),
      now: () => seconds(vector.create_timestamp) + 999,
      random: (target) => target.set(drawn),
    });
    expect(toHex(token)).toBe(vector.token);
  });
});

describe('minting', () => {
  test('the defaults are an hour, fifteen seconds, no user data', async () => {
    const token = await mintNetcodeToken({ ...mintOptions, now });
    expect(token).toHaveLength(2048);
    expect(await openNetcodeToken(token, [serverKey])).toMatchObject({
      protocolId: mintOptions.protocolId,
      createTimeMs,
      expireTimeMs: createTimeMs + 3_600_000,
      timeoutMs: 15_000,
      clientId: 42n,
      addresses: [
        { host: '192.0.2.1', port: 4433 },
        { host: '2001:db8::1', port: 4434 },
      ],
      userData: new Uint8Array(256),
    });
  });

  test('is the reference implementation byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(anyNetcodeTokenOptions, async (some) => {
        const token = await mintNetcodeToken({ ...some, key: serverKey, now, random: countingRandom() });
        const counted = Uint8Array.from({ length: 88 }, (_, index) => index);
        const create = BigInt(createTimeMs / 1000);
        const expected = reference.mintToken(serverKey.key, {
          protocolId: some.protocolId,
          create,
          expire: create + BigInt(some.lifetimeMs / 1000),
          nonce: counted.subarray(0, 24),
          clientId: some.clientId,
          timeout: some.timeoutMs === 0 ? -1 : some.timeoutMs / 1000,
          addresses: decodeNetcodeToken(token).addresses.map(fromEndpoint),
          c2s: counted.subarray(24, 56),
          s2c: counted.subarray(56, 88),
          userData: some.userData,
        });
        expect(toHex(token)).toBe(toHex(expected));
      }),
    );
  });

  test('the groups of an IPv6 address and the port are little-endian', async () => {
    const token = await mintNetcodeToken({
      ...mintOptions,
      addresses: ['[102:304:506:708:90a:b0c:d0e:f10]:258'],
    });
    expect(toHex(token.slice(1093, 1112))).toBe('02' + '02010403060508070a090c0b0e0d100f' + '0201');
  });

  test('each token has a nonce and keys of its own', async () => {
    const minter = await createNetcodeTokenMinter({
      protocolId: 1n,
      key: serverKey,
      addresses: ['192.0.2.1:1'],
    });
    const secrets = Array.from({ length: 100 }, () => {
      const token = decodeNetcodeToken(minter.mint({ clientId: 1n }));
      return [token.nonce, token.clientToServerKey, token.serverToClientKey];
    });
    expect(new Set(secrets.flat().map(toHex)).size).toBe(300);
  });

  test('32 IPv6 addresses and 256 bytes of user data fit', async () => {
    const userData = new Uint8Array(256).fill(255);
    const token = await mintNetcodeToken({ ...mintOptions, addresses: mostAddresses, userData });
    expect(token).toHaveLength(2048);
    const opened = await openNetcodeToken(token, [serverKey]);
    expect(opened.userData).toEqual(userData);
    expect(opened.addresses).toHaveLength(32);
  });

  test('addresses of one client replace those of the minter', async () => {
    const minter = await createNetcodeTokenMinter({
      protocolId: 1n,
      key: serverKey,
      addresses: ['192.0.2.1:1'],
    });
    const token = minter.mint({ clientId: 1n, addresses: [{ host: '::ffff:192.0.2.9', port: 9 }] });
    expect(decodeNetcodeToken(token).addresses).toEqual([{ host: '192.0.2.9', port: 9 }]);
    const other = decodeNetcodeToken(minter.mint({ clientId: 1n }));
    expect(other.addresses).toEqual([{ host: '192.0.2.1', port: 1 }]);
  });

  test('a key is taken as an object, in its text form and as 32 bytes, and copied', async () => {
    for (const key of [serverKey, formatKey(serverKey), serverKey.key, Buffer.from(serverKey.key)]) {
      const token = await mintNetcodeToken({ ...mintOptions, key });
      await expect(openNetcodeToken(token, [serverKey.key])).resolves.toMatchObject({ clientId: 42n });
    }
    const key = Buffer.from(serverKey.key);
    const minter = await createNetcodeTokenMinter({ protocolId: 1n, key, addresses: ['192.0.2.1:1'] });
    key.fill(0);
    const token = minter.mint({ clientId: 1n });
    await expect(openNetcodeToken(token, [serverKey])).resolves.toMatchObject({ clientId: 1n });
  });

  test('no timeout is -1 seconds on the wire', async () => {
    const token = await mintNetcodeToken({ ...mintOptions, timeoutMs: 0 });
    expect(reference.decodeToken(token).timeout).toBe(-1);
    expect(decodeNetcodeToken(token).timeoutMs).toBe(0);
  });

  test.each<readonly [string, Readonly<Record<string, unknown>>]>([
    ...wrongMintOptions,
    ['key must be a Uint8Array of 32 bytes; got a Uint8Array of 31 bytes', { key: new Uint8Array(31) }],
    ['key must be a Uint8Array of 32 bytes; got a Uint8Array of 33 bytes', { key: new Uint8Array(33) }],
    ['lifetimeMs must be an integer from 1000 to 86400000; got 0', { lifetimeMs: 0 }],
    ['lifetimeMs must be an integer from 1000 to 86400000; got 86401000', { lifetimeMs: 86_401_000 }],
    ['lifetimeMs must be a multiple of 1000: netcode counts in seconds; got 1500', { lifetimeMs: 1500 }],
    ['timeoutMs must be an integer from 1000 to 3600000; got -1', { timeoutMs: -1 }],
    ['timeoutMs must be an integer from 1000 to 3600000; got 3601000', { timeoutMs: 3_601_000 }],
    ['timeoutMs must be a multiple of 1000: netcode counts in seconds; got 1001', { timeoutMs: 1001 }],
    ['userData must be a Uint8Array of 0 to 256 bytes; got', { userData: new Uint8Array(257) }],
    ["unknown option 'singleUse' in options", { singleUse: true }],
  ])('%s', async (message, wrong) => {
    const attempt = mintNetcodeToken({ ...mintOptions, ...wrong } as unknown as MintNetcodeTokenOptions);
    await expect(attempt).rejects.toThrow(wrongArgument);
    await expect(attempt).rejects.toThrow(message);
  });

  test('the shortest and the longest lifetime and timeout', async () => {
    for (const limits of [
      { lifetimeMs: 1000, timeoutMs: 1000 },
      { lifetimeMs: 86_400_000, timeoutMs: 3_600_000 },
    ]) {
      const { timeoutMs, expireTimeMs } = decodeNetcodeToken(
        await mintNetcodeToken({ ...mintOptions, ...limits, now }),
      );
      expect({ timeoutMs, lifetimeMs: expireTimeMs - createTimeMs }).toEqual(limits);
    }
  });
});

describe('reading', () => {
  test('everything minted is read back, from bytes and from text', async () => {
    await fc.assert(
      fc.asyncProperty(anyNetcodeTokenOptions, async (some) => {
        const token = await mintNetcodeToken({ ...some, key: serverKey, now });
        const text = encodeNetcodeToken(token);
        expect(text).toMatch(/^[\w-]{2731}$/);
        const publicPart = decodeNetcodeToken(text);
        expect(decodeNetcodeToken(token)).toEqual(publicPart);
        const opened = await openNetcodeToken(text, [generateKey(), serverKey]);
        expect(opened).toMatchObject(publicPart);
        expect(opened).toMatchObject({
          protocolId: some.protocolId,
          clientId: some.clientId,
          timeoutMs: some.timeoutMs,
          userData: filledUp(some.userData),
        });
      }),
    );
  });

  test('each of the keys is tried, whatever their ids', async () => {
    const token = await mintNetcodeToken(mintOptions);
    const others = [generateKey({ id: serverKey.id }), formatKey(generateKey()), new Uint8Array(32)];
    await expect(openNetcodeToken(token, [...others, serverKey.key])).resolves.toMatchObject({
      clientId: 42n,
    });
    await expect(openNetcodeToken(token, others)).rejects.toMatchObject({ code: 'ERR_HAWSER_TOKEN_KEY' });
  });

  test('what is read shares no memory with the token', async () => {
    const token = Buffer.from(await mintNetcodeToken(mintOptions));
    const opened = await openNetcodeToken(token, [serverKey]);
    const before = structuredClone(opened);
    token.fill(0);
    expect(opened).toEqual(before);
  });

  test('a token is found at any offset of its buffer', async () => {
    const token = await mintNetcodeToken(mintOptions);
    const shifted = Buffer.concat([new Uint8Array(13), token]).subarray(13);
    await expect(openNetcodeToken(shifted, [serverKey])).resolves.toMatchObject({ clientId: 42n });
  });

  test('a token that never expires, as the C library makes on request', async () => {
    const never = 2n ** 64n - 1n;
    const clear = { protocolId: 1n, expire: never, nonce: reference.random(24) };
    const token = reference.mintToken(serverKey.key, {
      ...clear,
      create: 1_700_000_000n,
      clientId: 42n,
      timeout: -1,
      addresses: [{ ip: Uint8Array.of(192, 0, 2, 1), port: 0 }],
      c2s: reference.random(32),
      s2c: reference.random(32),
      userData: new Uint8Array(0),
    });
    expect(await openNetcodeToken(token, [serverKey])).toMatchObject({
      expireTimeMs: Number.POSITIVE_INFINITY,
      timeoutMs: 0,
      addresses: [{ host: '192.0.2.1', port: 0 }],
    });
  });

  test('its id is the hash of its private part, from bytes and from text', async () => {
    const token = await mintNetcodeToken(mintOptions);
    const id = hawser1.tokenId(token.slice(61, 1085));
    expect(await tokenId(token)).toEqual(id);
    expect(await tokenId(encodeNetcodeToken(token))).toEqual(id);
    const invalid = expect.objectContaining({ code: 'ERR_HAWSER_TOKEN_INVALID' });
    await expect(tokenId(token.slice(1))).rejects.toThrow(invalid);
    await expect(tokenId(token.slice(0, 2047))).rejects.toThrow(invalid);
  });

  test('wrong arguments', async () => {
    const token = await mintNetcodeToken(mintOptions);
    await expect(openNetcodeToken(token, [])).rejects.toThrow('keys must be an array of 1 to 1024');
    await expect(openNetcodeToken(token, ['secret'])).rejects.toThrow('keys[0] must be a server key');
    await expect(openNetcodeToken(token, [new Uint8Array(1)])).rejects.toThrow(
      'keys[0] must be a Uint8Array',
    );
    for (const wrong of [undefined, null, 5, {}]) {
      expect(() => decodeNetcodeToken(wrong as unknown as string)).toThrow(wrongArgument);
    }
  });

  test('the wire of a token is told by its first bytes', async () => {
    expect(wireOfToken(await mintNetcodeToken(mintOptions))).toBe('netcode');
    expect(wireOfToken(await mintToken({ ...mintOptions, key: serverKey }))).toBe('hawser');
    const start = new TextEncoder().encode('NETCODE 1.02\0');
    expect(wireOfToken(start)).toBe('netcode');
    for (let length = 0; length < start.length; ++length)
      expect(wireOfToken(start.subarray(0, length))).toBeUndefined();
    expect(wireOfToken(new TextEncoder().encode('NETCODE 1.01\0'))).toBeUndefined();
    expect(wireOfToken(new TextEncoder().encode('HAWSER 2'))).toBeUndefined();
  });
});
