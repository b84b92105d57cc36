// Two SAEs with keys, and a third that is neither.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Envelope, Opened, Refused, SealFacts } from '../../../src/keys/wire/envelope.js';
import { HawserEnvelope } from '../../../src/keys/wire/envelope-hawser.js';
import { SaeJsonEnvelope } from '../../../src/keys/wire/envelope-sae-json.js';
import type { Message } from '../../../src/keys/wire/messages.js';
import { PinnedKeys } from '../../../src/keys/wire/pinned-keys.js';
import { SigningKey } from '../../../src/keys/wire/signatures.js';
import { fromHex } from '../../reference/bytes.js';
import { master, roleOf, slave } from './samples.js';

/** RFC 8410 section 7: what stands before the 32 bytes of a seed. */
const seedPrefix = '302e020100300506032b657004220420';

/** The private key of Ed25519 whose seed is so many bytes of one value. */
export function ed25519Key(value: number): KeyObject {
  const seed = value.toString(16).padStart(2, '0').repeat(32);
  return createPrivateKey({ key: Buffer.from(fromHex(seedPrefix + seed)), format: 'der', type: 'pkcs8' });
}

export function rsaKey(modulusLength = 2048): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength }).privateKey;
}

export interface Party {
  readonly saeId: string;
  readonly key: KeyObject;
  readonly envelope: Envelope;
}

/** An SAE that has pinned the keys of others. */
export function party(
  wire: 'hawser' | 'sae-json',
  saeId: string,
  key: KeyObject,
  others: Readonly<Record<string, KeyObject>>,
): Party {
  const pinned = new PinnedKeys(wire);
  for (const [id, other] of Object.entries(others)) pinned.pin(id, createPublicKey(other));
  const signing = new SigningKey(key);
  const envelope =
    wire === 'hawser'
      ? new HawserEnvelope(saeId, signing, pinned)
      : new SaeJsonEnvelope(saeId, signing, pinned);
  return { saeId, key, envelope };
}

/** The two of samples.ts, which know each other. */
export function pair(
  wire: 'hawser' | 'sae-json',
  masterKey: KeyObject,
  slaveKey: KeyObject,
): { readonly master: Party; readonly slave: Party } {
  return {
    master: party(wire, master, masterKey, { [slave]: slaveKey }),
    slave: party(wire, slave, slaveKey, { [master]: masterKey }),
  };
}

export const facts: Omit<SealFacts, 'recipientSaeId'> = {
  sequence: (3n << 32n) | 17n,
  stamps: {
    sentAtMs: 1_764_000_000_123,
    echo: { sentAtMs: 1_764_000_000_001, receivedAtMs: 1_764_000_000_099 },
  },
};

/** The envelope of a message from the one of the two that sends it. */
export function sealed(
  { master, slave }: ReturnType<typeof pair>,
  message: Message,
  more: Partial<SealFacts> = {},
): Uint8Array {
  const [from, to] = roleOf(message) === 'master' ? [master, slave] : [slave, master];
  return from.envelope.seal(message, { ...facts, recipientSaeId: to.saeId, ...more });
}

/** What the other one makes of it. */
export function opened(
  { master, slave }: ReturnType<typeof pair>,
  message: Message,
  bytes: Uint8Array,
): Opened | Refused {
  return (roleOf(message) === 'master' ? slave : master).envelope.open(bytes);
}
