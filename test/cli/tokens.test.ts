// Where commands that connect take their tokens from, for both wires.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isLoopbackToken, type TokenValues, tokenFactory } from '../../src/cli/tokens.js';
import {
  encodeNetcodeToken,
  encodeToken,
  generateKey,
  mintNetcodeToken,
  mintToken,
  openNetcodeToken,
  openToken,
} from '../../src/token/index.js';

const key = generateKey({ id: 1 });

const values: TokenValues = {
  server: [],
  key: undefined,
  tokenUrl: undefined,
  protocolId: 5n,
  lifetime: 45_000,
  timeout: 7000,
  wire: 'netcode',
};

beforeEach(() => {
  vi.stubEnv('HAWSER_KEY', '');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe('with a key', () => {
  test('netcode tokens are minted', async () => {
    const tokens = await tokenFactory({ ...values, key, server: ['192.0.2.1:1', '192.0.2.2:2'] });
    const token = await openNetcodeToken(await tokens(42n), [key]);
    expect(token.expireTimeMs - token.createTimeMs).toBe(45_000);
    expect(token).toMatchObject({
      protocolId: 5n,
      clientId: 42n,
      timeoutMs: 7000,
      addresses: [
        { host: '192.0.2.1', port: 1 },
        { host: '192.0.2.2', port: 2 },
      ],
    });
  });

  test('hawser tokens are minted, also for a timeout that netcode cannot hold', async () => {
    const tokens = await tokenFactory({ ...values, wire: 'hawser', key, timeout: 1500 });
    expect(await openToken(await tokens(42n), [key])).toMatchObject({
      clientId: 42n,
      timeoutMs: 1500,
      addresses: [{ host: '127.0.0.1', port: 4433 }],
    });
    await expect(tokenFactory({ ...values, key, lifetime: 1500 })).rejects.toThrow(
      '--lifetime: must be in whole seconds with --wire netcode; got 1500 ms',
    );
    await expect(tokenFactory({ ...values, key, timeout: 1500 })).rejects.toThrow(
      '--timeout: must be in whole seconds with --wire netcode; got 1500 ms',
    );
  });
});

describe('from a token endpoint', () => {
  /** Answers with `token` and notes what it was asked. */
  async function endpoint(
    token: string,
  ): Promise<{ readonly url: string; readonly asked: unknown[] } & AsyncDisposable> {
    const asked: unknown[] = [];
    const server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      asked.push(JSON.parse(body));
      response.setHeader('connection', 'close').end(JSON.stringify({ token }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port');
    return {
      url: `http://127.0.0.1:${bound.port}/token`,
      asked,
      [Symbol.asyncDispose]: async () => {
        const closed = once(server, 'close');
        server.close();
        await closed;
      },
    };
  }

  const minting = { protocolId: 1n, key, clientId: 42n, addresses: ['192.0.2.1:1'] };

  test('the wire is asked for when it is netcode, and only then', async () => {
    const token = encodeNetcodeToken(await mintNetcodeToken(minting));
    await using http = await endpoint(token);
    for (const wire of ['netcode', 'hawser'] as const) {
      const tokens = await tokenFactory({ ...values, wire, tokenUrl: http.url });
      expect(await tokens(42n)).toBe(token);
    }
    expect(http.asked).toEqual([{ clientId: '42', wire: 'netcode' }, { clientId: '42' }]);
  });

  test('an endpoint that knows of no netcode is noticed', async () => {
    await using http = await endpoint(encodeToken(await mintToken(minting)));
    const tokens = await tokenFactory({ ...values, tokenUrl: http.url });
    await expect(tokens(42n)).rejects.toThrow(`${http.url} answered with a token that is not one of netcode`);
  });
});

test.each([
  [['127.0.0.1:1'], true],
  [['127.0.0.1:1', '127.9.9.9:1'], true],
  [['127.0.0.1:1', '192.0.2.1:1'], false],
  [['[::1]:1'], false],
])('gateways %j are this machine over IPv4: %s', async (addresses, expected) => {
  const minting = { protocolId: 1n, key, clientId: 42n, addresses };
  const hawserToken = await mintToken(minting);
  const netcodeToken = await mintNetcodeToken(minting);
  for (const token of [hawserToken, encodeToken(hawserToken), netcodeToken, encodeNetcodeToken(netcodeToken)])
    expect(isLoopbackToken(token)).toBe(expected);
});
