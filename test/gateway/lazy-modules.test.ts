// What the import of hawser/gateway loads, and what waits until a configuration asks for it: a gateway is to be there soon.

import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src/', import.meta.url));
/** Imports and re-exports that are there when the program runs. */
const imports = /^(?:import|export)\s(?!type\s)[^'"`;]*?from\s+'([^']+)';/gm;

/** Everything that a module loads before it runs, by paths in src/ and names of packages. */
function loadedBy(entry: string): Set<string> {
  const loaded = new Set<string>();
  const waiting = [join(source, entry)];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const name = relative(source, file);
    if (loaded.has(name)) continue;
    loaded.add(name);
    for (const [, from = ''] of readFileSync(file, 'utf8').matchAll(imports)) {
      if (from.startsWith('.')) waiting.push(join(dirname(file), from.replace(/\.js$/, '.ts')));
      else loaded.add(from);
    }
  }
  return loaded;
}

const loaded = loadedBy('gateway/index.ts');

test('the import of hawser/gateway loads its own modules and those of the transport', () => {
  expect([...loaded]).toEqual(
    expect.arrayContaining(['gateway/open-gateway.ts', 'gateway/parts.ts', 'transport/server.ts', 'node:fs']),
  );
});

test.each([
  'gateway/layers/interaction.ts',
  'gateway/layers/sync.ts',
  'gateway/layers/sessions.ts',
  'gateway/layers/keys.ts',
  'gateway/admin/admin-server.ts',
  'gateway/control/control-socket.ts',
  'gateway/tokens/minters.ts',
  'gateway/tokens/token-endpoint.ts',
  'interaction/interaction-connection.ts',
  'sync/manager/manager.ts',
  'sessions/server/session-server.ts',
  'sessions/store/etcd-store.ts',
  'keys/agent/sae.ts',
  'cborg',
  'flatbuffers',
  'libsodium-wrappers',
  'node:http',
  'node:https',
])('the import of hawser/gateway does not load %s, which not every gateway needs', (name) => {
  if (name.endsWith('.ts')) expect(readFileSync(join(source, name), 'utf8')).not.toBe('');
  expect([...loaded]).not.toContain(name);
});

test('no entry point loads a package that is an optional peer', () => {
  const peers = ['prom-client', '@opentelemetry/api', 'lmdb', 'etcd3'];
  for (const entry of ['', 'token/', 'interaction/', 'sync/', 'sessions/', 'keys/', 'gateway/']) {
    const found = loadedBy(`${entry}index.ts`);
    expect(peers.filter((name) => found.has(name))).toEqual([]);
  }
});
