// docs/operations.md lists every line that a gateway writes to its log.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { logLevels } from '../../../src/gateway/log/logger.js';
import { writtenLines } from './written-lines.js';

const page = readFileSync(fileURLToPath(new URL('../../../docs/operations.md', import.meta.url)), 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \| `([^`]+)` \|.*\|$/gm)]
  .map(([, level = '', message = '']) => ({ level, message }))
  .filter(({ level }) => logLevels.some((each) => each === level));
/** Two of them come to where they are written as arguments. */
const lines = [...writtenLines(), ...['request', 'query'].map((message) => ({ level: 'trace', message }))];

test('the page has every line that the source has, and no other', () => {
  expect(lines.length).toBeGreaterThan(40);
  expect([...new Set(rows.map(({ message }) => message))].sort()).toEqual(
    [...new Set(lines.map(({ message }) => message))].sort(),
  );
});

test('each has its level on the page', () => {
  for (const { level, message } of lines) {
    const told = rows.filter((row) => row.message === message).map((row) => row.level);
    if (level !== undefined)
      expect({ message, told }).toEqual({ message, told: expect.arrayContaining([level]) });
  }
});
