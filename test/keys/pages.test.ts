// What docs/keys.md and its neighbours say, against what the code does.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkSaeOptions } from '../../src/keys/agent/options.js';
import { checkPeerOptions, type PeerOptions, type PeerSettings } from '../../src/keys/agent/peer-options.js';
import { RecordingPersona } from '../../src/keys/personas/recording-persona.js';
import { sessionStates } from '../../src/keys/protocol/states.js';
import { MemoryKeyStore } from '../../src/keys/store/memory-store.js';
import { keyStatuses } from '../../src/keys/store/store.js';
import { errorCodes, messageTypes } from '../../src/keys/wire/messages.js';
import { expectLinksLeadSomewhere } from '../page-links.js';
import { TestKeyPool } from './agent/key-pool.js';
import { keysOf } from './agent/world.js';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));
const page = readFileSync(join(docs, 'keys.md'), 'utf8');

function section(title: string): string {
  const [, rest = ''] = page.split(`## ${title}\n`);
  return rest.split('\n## ')[0] ?? '';
}

/** The first cells of the rows of its tables. */
function rowsOf(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, ...cells]) => cells);
}

const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
const number = (text: string): number => Number(text.replaceAll(',', ''));

function settings(options: Partial<PeerOptions> = {}): PeerSettings {
  const { publicKey } = keysOf('peer');
  const sae = checkSaeOptions({
    saeId: 'sae',
    signingKey: keysOf('sae').privateKey,
    store: new MemoryKeyStore(),
    keySource: new TestKeyPool().source(),
    persona: new RecordingPersona(),
  });
  // The widest lead, so that the ends of other ranges do not depend on it.
  return checkPeerOptions('peer', { saeId: 'peer', publicKey, role: 'master', ...options }, sae);
}

describe('the table of settings', () => {
  const rows = rowsOf(section('Settings of a peer'));

  test('names the settings that are about times and bounds, all of them', () => {
    const named = rows.map(([name = '']) => namesIn(name)[0]);
    const known = Object.keys(settings()).filter((name) =>
      /(Ms|PerSecond|Bits|Rounds|Failures|PerRotation)$/.test(name),
    );
    expect(named.toSorted()).toEqual(known.toSorted());
  });

  test('has their defaults', () => {
    for (const [name = '', usual = ''] of rows) {
      const expected = usual === 'none' ? undefined : number(usual);
      expect(Reflect.get(settings(), namesIn(name)[0] ?? ''), name).toBe(expected);
    }
  });

  test('has their ranges', () => {
    for (const [cell = '', , range = ''] of rows) {
      const name = namesIn(cell)[0] ?? '';
      const [least = '', most = ''] = range.split(' to ');
      const lead = name === 'intervalMs' ? { leadMs: 1000 } : {};
      for (const end of [least, most].filter((text) => !text.startsWith('`'))) {
        const value = number(end);
        const step = end === least ? -value / 2 - 1e-3 : value;
        expect(Reflect.get(settings({ ...lead, [name]: value }), name), name).toBe(value);
        expect(() => settings({ ...lead, [name]: value + step }), `${name}: ${value + step}`).toThrow(
          expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
        );
      }
    }
  });
});

test('the tables of messages, errors and keys name what there is', () => {
  const first = (rows: readonly (readonly string[])[]): readonly string[] =>
    rows
      .flatMap(([cell = '']) => namesIn(cell))
      .filter((name) => !['message_type', 'error_code'].includes(name));
  expect(first(rowsOf(section('Messages').split('### ')[0] ?? ''))).toEqual(messageTypes);
  const errors = section('Messages').split('### Errors')[1] ?? '';
  expect(first(rowsOf(errors)).toSorted()).toEqual(errorCodes.toSorted());
  expect(first(rowsOf(section('Keys').split('### ')[0] ?? ''))).toEqual(keyStatuses);
});

test('the pictures of states have each state', () => {
  const pictures = page.split('### States')[1]?.split('One session of a pair')[0] ?? '';
  for (const state of sessionStates) expect(pictures, state).toContain(`: ${state}\n`);
});

test.each(['keys.md', 'keys-wire.md', 'keys-personas.md', 'security.md', 'conformance/keys.md'])(
  'every link of %s leads somewhere',
  (name) => expectLinksLeadSomewhere(join(docs, name), 0),
);
