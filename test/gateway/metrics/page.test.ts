// docs/observability.md: its tables are those of the code.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { channelNames as gatewayNames } from '../../../src/gateway/diagnostics.js';
import { gatewayTables } from '../../../src/gateway/metrics/tables.js';
import { channelNames as interactionNames } from '../../../src/interaction/diagnostics.js';
import { channelNames as keysNames } from '../../../src/keys/agent/diagnostics.js';
import { kmeChannelName } from '../../../src/keys/kme/diagnostics.js';
import { channelNames as sessionNames } from '../../../src/sessions/server/diagnostics.js';
import { channelNames as syncNames } from '../../../src/sync/manager/diagnostics.js';
import { channelNames as transportNames } from '../../../src/transport/diagnostics.js';
import { sourceFiles } from './source-files.js';

const page = readFileSync(new URL('../../../docs/observability.md', import.meta.url), 'utf8');

/** The lines of the page between a heading and the next one. */
function section(heading: string): readonly string[] {
  const lines = page.split('\n');
  const begin = lines.indexOf(heading);
  expect(begin, heading).toBeGreaterThan(0);
  const length = lines.slice(begin + 1).findIndex((line) => line.startsWith('#'));
  return lines.slice(begin + 1, length < 0 ? undefined : begin + 1 + length);
}

const layerNames = [
  ...Object.values(interactionNames),
  ...Object.values(syncNames),
  ...Object.values(sessionNames),
  ...Object.values(keysNames),
  kmeChannelName,
  ...Object.values(gatewayNames),
];

test.each(Object.entries(gatewayTables))(
  'the page has every metric of the layer %s, and no other',
  (layer, table) => {
    const rows = section(`### ${layer}`).filter((line) => line.startsWith('| `'));
    expect(rows).toEqual(
      table.map(({ name, type, labels, help }) => {
        const names = labels.map((label) => `\`${label}\``).join(', ');
        return `| \`${name}\` | ${type} | ${names} | ${help} |`;
      }),
    );
  },
);

test('the page has every channel, in the order of the layers, and no other', () => {
  const rows = section('## Channels').flatMap((line) => /^\| `(hawser:[^`]+)`/.exec(line)?.[1] ?? []);
  expect(rows).toEqual([...Object.values(transportNames), ...layerNames]);
});

test('channels are named after their layer and what happens, but for the five that were there before', () => {
  for (const name of layerNames)
    expect(name).toMatch(/^hawser:(interaction|sync|sessions|keys|gateway)\.[a-z]+$/);
});

test('no channel is made anywhere else', () => {
  const known = new Set<string>([...Object.values(transportNames), ...layerNames]);
  for (const { path, text } of sourceFiles()) {
    for (const [, name = ''] of text.matchAll(/['"](hawser:[a-zA-Z.]+)['"]/g))
      expect(known, path).toContain(name);
    const isMaker = path === 'base/diagnostics.ts';
    if (!isMaker) expect(text, path).not.toMatch(/\bimport\b[^;]*\bchannel\b[^;]*'node:diagnostics_channel'/);
  }
});

test('the page has every span, and no other', () => {
  const rows = section('### Traces').flatMap((line) => /^\| `(hawser\.[^`]+)`/.exec(line)?.[1] ?? []);
  const made = sourceFiles()
    .filter(({ path }) => path.startsWith('gateway/trace/'))
    .flatMap(({ text }) =>
      [...text.matchAll(/name: [`'](hawser\.[^`']+)[`']/g)].map(([, name = '']) => name),
    );
  const asWritten = made.map((name) => name.replace(/\$\{(\w+)\}/g, '<$1>'));
  expect([...rows].sort()).toEqual(asWritten.sort());
});
