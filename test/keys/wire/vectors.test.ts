// test/vectors/keys-envelopes.json: what any implementation of docs/keys-wire.md has to make and to open.

import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encodeMessage } from '../../../src/keys/wire/encode-message.js';
import { SaeJsonEnvelope } from '../../../src/keys/wire/envelope-sae-json.js';
import type { Message } from '../../../src/keys/wire/messages.js';
import { PinnedKeys } from '../../../src/keys/wire/pinned-keys.js';
import { SigningKey } from '../../../src/keys/wire/signatures.js';
import { fromHex, toHex, utf8 } from '../../reference/bytes.js';
import { ed25519Key, opened, pair, rsaKey, sealed } from './parties.js';
import { openByPython } from './python-oracle.js';
import { master, samples, slave } from './samples.js';

interface Vectors {
  readonly hawser: {
    readonly keys: Readonly<Record<string, { readonly seed: string; readonly public: string }>>;
    readonly sequence: string;
    readonly sentAtMs: number;
    readonly echo: { readonly sentAtMs: number; readonly receivedAtMs: number };
    readonly vectors: readonly {
      readonly sender: string;
      readonly message: Message;
      readonly envelope: string;
    }[];
  };
  readonly 'sae-json': {
    readonly keys: Readonly<Record<string, string>>;
    readonly vectors: readonly {
      readonly sender: string;
      readonly message: Readonly<Record<string, unknown>>;
      readonly datagram: string;
    }[];
  };
}

const file = new URL('../../vectors/keys-envelopes.json', import.meta.url);
const { hawser, 'sae-json': original }: Vectors = JSON.parse(readFileSync(file, 'utf8'));

describe("the vectors of HAWSER's envelope", () => {
  const keys = { [master]: ed25519Key(1), [slave]: ed25519Key(2) };
  const both = pair('hawser', ed25519Key(1), ed25519Key(2));
  const facts = {
    sequence: BigInt(hawser.sequence),
    stamps: { sentAtMs: hawser.sentAtMs, echo: hawser.echo },
  };

  test('are of every message, and of the keys that they name', () => {
    expect(hawser.vectors.map(({ message }) => message)).toStrictEqual(samples);
    for (const [saeId, key] of Object.entries(keys)) {
      const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
      expect(toHex(der.subarray(-32))).toBe(hawser.keys[saeId]?.public);
    }
  });

  test.each(hawser.vectors)('$message.message_type', ({ sender, message, envelope }) => {
    expect(toHex(sealed(both, message, facts))).toBe(envelope);
    expect(opened(both, message, fromHex(envelope))).toStrictEqual({
      message,
      senderSaeId: sender,
      ...facts,
    });
  });

  test('begin with the example of docs/keys-wire.md', () => {
    const page = readFileSync(new URL('../../../docs/keys-wire.md', import.meta.url), 'utf8');
    const [first] = hawser.vectors;
    if (first === undefined) throw new Error('no vector');
    const rows = page.slice(page.indexOf('### An example'), page.indexOf('## JSON')).split('\n');
    const cells = rows.map((row) => /^\| `([0-9a-f]+)` \|/.exec(row)?.[1] ?? '').join('');
    expect(first.envelope.slice(0, 84)).toBe(cells);
    expect(page).toContain(`\`${JSON.stringify(first.message)}\``);
    expect(page).toContain(hawser.keys[master]?.public);
  });

  test('are read by Python', () => {
    const envelopes = hawser.vectors.map(({ sender, envelope }) => ({
      bytes: fromHex(envelope),
      key: sender === master ? ed25519Key(1) : ed25519Key(2),
    }));
    expect(openByPython('hawser', envelopes).map((read) => read?.message)).toStrictEqual(samples);
  });
});

describe("the vectors of the original's envelope", () => {
  const signing = new SigningKey(rsaKey());

  test.each(original.vectors)('$message.message_type', ({ sender, message, datagram }) => {
    const pinned = new PinnedKeys('sae-json');
    for (const [saeId, key] of Object.entries(original.keys)) pinned.pin(saeId, createPublicKey(key));
    const receiver = new SaeJsonEnvelope(sender === master ? slave : master, signing, pinned);
    const result = receiver.open(utf8(datagram));
    if ('refused' in result) throw new Error(result.reason);
    expect(result.senderSaeId).toBe(sender);
    expect(JSON.parse(new TextDecoder().decode(encodeMessage(result.message, 'sae-json')))).toStrictEqual(
      message,
    );
  });
});
