import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  createTokenMinter,
  decodeToken,
  encodeToken,
  formatKey,
  generateKey,
  type MintTokenOptions,
  mintToken,
  openToken,
  type TokenMinter,
  tokenId,
} from '../../src/token/index.js';
import { fromEndpoint } from '../reference/endpoints.js';
import * as reference from '../reference/hawser1.js';
import {
  anyTokenOptions,
  countingRandom,
  createTimeMs,
  mintOptions,
  mostAddresses,
  now,
  serverKey,
  wrongArgument,
  wrongMintOptions,
} from './support.js';

beforeAll(() => reference.ready);

describe('minting', () => {
  test('the defaults are an hour, fifteen seconds, many uses, no user data', async () => {
    const opened = await openToken(await mintToken({ ...mintOptions, now }), [serverKey]);
    expect(opened).toMatchObject({
      protocolId: mintOptions.protocolId,
      keyId: 7,
      singleUse: false,
      createTimeMs,
      expireTimeMs: createTimeMs + 3_600_000,
      timeoutMs: 15_000,
      clientId: 42n,
      addresses: [
        { host: '192.0.2.1', port: 4433 },
        { host: '2001:db8::1', port: 4434 },
      ],
      userData: new Uint8Array(0),
    });
  });

  test('is the reference implementation byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(anyTokenOptions, async (some) => {
        const token = await mintToken({ ...some, key: serverKey, now, random: countingRandom() });
        const counted = Uint8Array.from({ length: 88 }, (_, index) => index);
        const addresses = decodeToken(token).addresses.map(fromEndpoint);
        const expected = reference.mintToken(
          serverKey.key,
          {
            protocolId: some.protocolId,
            keyId: serverKey.id,
            flags: some.singleUse ? 1 : 0,
            createTime: BigInt(createTimeMs),
            expireTime: BigInt(createTimeMs + some.lifetimeMs),
            nonce: counted.subarray(0, 24),
          },
          {
            clientId: some.clientId,
            timeout: some.timeoutMs,
            addresses,
            c2s: counted.subarray(24, 56),
            s2c: counted.subarray(56, 88),
            userData: some.userData,
          },
        );
        expect(Buffer.from(token).equals(expected)).toBe(true);
      }),
    );
  });

  test('each token has a nonce and keys of its own', async () => {
    const minter = await createTokenMinter({ protocolId: 1n, key: serverKey, addresses: ['192.0.2.1:1'] });
    const tokens = Array.from({ length: 100 }, (_, index) =>
      decodeToken(minter.mint({ clientId: BigInt(index) })),
    );
    const secrets = tokens.flatMap((token) => [
      token.nonce,
      token.clientToServerKey,
      token.serverToClientKey,
    ]);
    expect(new Set(secrets.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(300);
  });

  test('the smallest and the largest token', async () => {
    const smallest = await mintToken({
      ...mintOptions,
      addresses: ['1.2.3.4:5'],
      userData: new Uint8Array(857),
    });
    expect(smallest).toHaveLength(1119);
    const largest = await mintToken({
      ...mintOptions,
      addresses: mostAddresses,
      userData: new Uint8Array(256).fill(255),
    });
    expect(largest).toHaveLength(1720);
    const opened = await openToken(largest, [serverKey]);
    expect(opened.userData).toEqual(new Uint8Array(256).fill(255));
    expect(opened.addresses).toHaveLength(32);
  });

  test('addresses of one client replace those of the minter', async () => {
    const minter = await createTokenMinter({
      protocolId: 1n,
      key: formatKey(serverKey),
      addresses: ['192.0.2.1:1'],
    });
    const token = minter.mint({ clientId: 1n, addresses: [{ host: '::ffff:192.0.2.9', port: 9 }] });
    expect(decodeToken(token).addresses).toEqual([{ host: '192.0.2.9', port: 9 }]);
    expect(decodeToken(minter.mint({ clientId: 1n })).addresses).toEqual([{ host: '192.0.2.1', port: 1 }]);
  });

  test('a minter keeps its own copy of the key', async () => {
    const key = { id: 7, key: serverKey.key.slice() };
    const minter = await createTokenMinter({ protocolId: 1n, key, addresses: ['192.0.2.1:1'] });
    key.key.fill(0);
    await expect(openToken(minter.mint({ clientId: 1n }), [serverKey])).resolves.toMatchObject({
      clientId: 1n,
    });
  });

  test.each<readonly [string, Readonly<Record<string, unknown>>]>([
    ...wrongMintOptions,
    [
      'key.key must be a Uint8Array of 32 bytes; got a Uint8Array of 31 bytes',
      { key: { id: 1, key: new Uint8Array(31) } },
    ],
    ['lifetimeMs must be an integer from 1 to 86400000; got 0', { lifetimeMs: 0 }],
    ['lifetimeMs must be an integer from 1 to 86400000; got 86400001', { lifetimeMs: 86_400_001 }],
    ['timeoutMs must be an integer from 1000 to 3600000; got 999', { timeoutMs: 999 }],
    ['timeoutMs must be an integer from 1000 to 3600000; got 3600001', { timeoutMs: 3_600_001 }],
    [
      'userData must be a Uint8Array of 0 to 838 bytes; got a Uint8Array of 839 bytes',
      { userData: new Uint8Array(839) },
    ],
    ['singleUse must be true or false; got 1', { singleUse: 1 }],
    ["unknown option 'lifetime' in options; did you mean 'lifetimeMs'?", { lifetime: 5 }],
  ])('%s', async (message, wrong) => {
    const attempt = mintToken({ ...mintOptions, ...wrong } as unknown as MintTokenOptions);
    await expect(attempt).rejects.toThrow(wrongArgument);
    await expect(attempt).rejects.toThrow(message);
  });

  test('wrong options of one token', async () => {
    const minter: TokenMinter = await createTokenMinter({
      protocolId: 1n,
      key: serverKey,
      addresses: ['192.0.2.1:1'],
    });
    const wrong = { clientId: 1n, userdata: new Uint8Array(1) };
    expect(() => minter.mint(wrong)).toThrow("unknown option 'userdata' in client; did you mean 'userData'?");
  });
});

describe('reading', () => {
  test('everything minted is read back, from bytes and from text', async () => {
    await fc.assert(
      fc.asyncProperty(anyTokenOptions, async (some) => {
        const token = await mintToken({ ...some, key: serverKey, now });
        const text = encodeToken(token);
        expect(text).toMatch(/^[\w-]+$/);
        const publicPart = decodeToken(text);
        expect(decodeToken(token)).toEqual(publicPart);
        const opened = await openToken(text, [generateKey({ id: 8 }), serverKey]);
        expect(opened).toMatchObject(publicPart);
        expect(opened).toMatchObject({
          clientId: some.clientId,
          userData: some.userData,
          singleUse: some.singleUse,
          timeoutMs: some.timeoutMs,
          protocolId: some.protocolId,
        });
        expect(opened.tokenId).toEqual(reference.tokenId(token.slice(64, 1040)));
        expect(await tokenId(text)).toEqual(opened.tokenId);
      }),
    );
  });

  test('what is read shares no memory with the token', async () => {
    const token = Buffer.from(await mintToken(mintOptions));
    const decoded = decodeToken(token);
    const before = structuredClone(decoded);
    token.fill(0);
    expect(decoded).toEqual(before);
  });

  test('a token is found at any offset of its buffer', async () => {
    const token = await mintToken(mintOptions);
    const shifted = Buffer.concat([new Uint8Array(13), token]).subarray(13);
    await expect(openToken(shifted, [serverKey])).resolves.toMatchObject({ clientId: 42n });
  });

  test('the key id picks the one key that is tried', async () => {
    const token = await mintToken(mintOptions);
    await expect(openToken(token, [generateKey({ id: 8 })])).rejects.toMatchObject({
      code: 'ERR_HAWSER_TOKEN_KEY',
      message: 'the token is sealed with key 7, which was not given',
    });
    await expect(openToken(token, [generateKey({ id: 7 })])).rejects.toMatchObject({
      code: 'ERR_HAWSER_TOKEN_KEY',
    });
    // The right bytes under another id are not tried.
    await expect(openToken(token, [{ id: 8, key: serverKey.key }])).rejects.toMatchObject({
      code: 'ERR_HAWSER_TOKEN_KEY',
    });
  });

  test('wrong arguments', async () => {
    const token = await mintToken(mintOptions);
    await expect(openToken(token, [])).rejects.toThrow('keys must be an array of 1 to 1024');
    await expect(openToken(token, [serverKey, serverKey])).rejects.toThrow('got id 7 again');
    await expect(openToken(token, ['secret'])).rejects.toThrow('keys[0] must be a server key');
    for (const wrong of [undefined, null, 5, {}]) {
      expect(() => decodeToken(wrong as unknown as string)).toThrow(wrongArgument);
    }
  });
});
