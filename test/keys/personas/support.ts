// What the tests of personas share: keys with known material, and contexts.

import { createHash } from 'node:crypto';
import { type SecretBytes, secretFrom } from '../../../src/base/secret-bytes.js';
import type { DeviceKey, PersonaContext } from '../../../src/keys/personas/persona.js';

export const peer = 'SAE_B';

/** Material that differs for each id. */
export function materialOf(keyId: string, length = 32): SecretBytes {
  return secretFrom(createHash('shake256', { outputLength: length }).update(keyId).digest());
}

export function deviceKey(keyId: string, length = 32): DeviceKey {
  return { keyId, material: materialOf(keyId, length) };
}

export function contextOf(overrides: Partial<PersonaContext> = {}): PersonaContext {
  return {
    peerSaeId: peer,
    role: 'slave',
    sessionId: '7d1b6a52-0c2f-4c7e-8f0a-3f8f0c6c1d11',
    signal: new AbortController().signal,
    ...overrides,
  };
}
