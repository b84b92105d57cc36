// Of the tokens that this side takes once: when they may be taken again.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { PublicNetcodeToken } from '../../src/token/netcode-format.js';
import { useNetcodeToken } from '../../src/transport/netcode-token-use.js';

let tokens = 0;

function tokenOf(createTimeMs: number, expireTimeMs: number): PublicNetcodeToken {
  const sealedPrivate = new Uint8Array(1024);
  new DataView(sealedPrivate.buffer).setUint32(1020, ++tokens);
  const nothing = new Uint8Array(0);
  return {
    protocolId: 1n,
    createTimeMs,
    expireTimeMs,
    timeoutMs: 0,
    addresses: [],
    clientToServerKey: nothing,
    serverToClientKey: nothing,
    nonce: nothing,
    sealedPrivate,
  };
}

describe('a netcode token in use', () => {
  let now = 0;
  beforeEach(() => {
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    return () => vi.restoreAllMocks();
  });

  const used = expect.objectContaining({ code: 'ERR_HAWSER_TOKEN_INVALID', netcodeState: -5 });

  test('is refused with the state of an invalid token, and free again when it is given back, or after its whole lifetime', () => {
    const token = tokenOf(5000, 65_000);
    const giveBack = useNetcodeToken(token);
    expect(() => useNetcodeToken(token)).toThrow(used);
    giveBack();
    useNetcodeToken(token);
    now += 59_999;
    expect(() => useNetcodeToken(token)).toThrow(used);
    now += 1;
    useNetcodeToken(token);
  });

  test.each([
    ['never expires', 5000],
    ['has no time that a number can hold', Number.POSITIVE_INFINITY],
  ])('is never free again when it %s', (_, createTimeMs) => {
    const token = tokenOf(createTimeMs, Number.POSITIVE_INFINITY);
    useNetcodeToken(token);
    now += 1e15;
    expect(() => useNetcodeToken(token)).toThrow(used);
  });

  test('is still known when many others have come and expired', () => {
    const token = tokenOf(0, 1_000_000);
    useNetcodeToken(token);
    for (let index = 0; index < 5000; ++index) {
      now += 1;
      useNetcodeToken(tokenOf(0, 10));
    }
    expect(() => useNetcodeToken(token)).toThrow(used);
  });
});
