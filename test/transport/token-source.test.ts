import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { generateKey, mintToken } from '../../src/token/index.js';
import { takeToken } from '../../src/transport/token-source.js';

test('a token is a copy of what was given, be that a Uint8Array or a Buffer', async () => {
  const given = { protocolId: 1n, key: generateKey(), clientId: 1n, addresses: ['192.0.2.1:1'] };
  const token = await mintToken(given);
  for (const bytes of [token.slice(), Buffer.from(token)]) {
    const held = await takeToken(bytes, systemClock, undefined);
    bytes.fill(0);
    expect(held.bytes).toEqual(token);
  }
});
