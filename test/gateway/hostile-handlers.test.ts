// Code of the user's that never comes to its end.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { loadConfig } from '../../src/gateway/config-file.js';
import { openGateway } from '../../src/gateway/open-gateway.js';
import { openTest, testConfig } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-handlers-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.useRealTimers();
});

test('a gateway whose handler never settles ends when it is told to, and frees its port', async () => {
  const ending = new AbortController();
  const listeners = [{ address: await freeAddress() }];
  const opening = openGateway(
    testConfig({
      listeners,
      handlers: {
        setup: () => {
          ending.abort();
          return new Promise(() => undefined);
        },
      },
    }),
    { signal: ending.signal },
  );
  await expect(opening).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  await using other = await openTest({ listeners });
  expect(other.state).toBe('RUNNING');
});

test('a module that never settles is not waited for either', async () => {
  const module = join(folder, 'never.mjs');
  writeFileSync(module, 'await new Promise(() => undefined);\n');
  const ending = new AbortController();
  const opening = openGateway(testConfig({ handlers: module }), { signal: ending.signal });
  ending.abort();
  await expect(opening).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
});

test('a configuration that never settles is wrong after a minute, so that later reloads are not kept waiting', async () => {
  const file = join(folder, 'never-config.mjs');
  writeFileSync(file, 'export default () => new Promise(() => globalThis.hawserTestBegun());\n');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const begun = new Promise<void>((resolve) => {
    Reflect.set(globalThis, 'hawserTestBegun', resolve);
  });
  const loading = loadConfig(file).catch((error: unknown) => error);
  await begun;
  vi.advanceTimersByTime(60_000);
  expect(await loading).toMatchObject({
    code: 'ERR_HAWSER_CONFIG',
    message: expect.stringContaining('it has not come to its end in 60 s'),
  });
});

test('a thousand reloads at once are two: one that goes on, and one that sees all that was written before it began', async () => {
  const keys = { reads: 0 };
  const config = testConfig({});
  const counted = {
    ...config,
    get limits() {
      ++keys.reads;
      return {};
    },
  };
  await using gateway = await openGateway(counted);
  keys.reads = 0;
  const first = gateway.reload();
  // Begins in the next microtask; what is asked for from then on is of the next one.
  await Promise.resolve();
  const reports = await Promise.all([first, ...Array.from({ length: 1000 }, () => gateway.reload())]);
  expect(new Set(reports).size).toBeLessThanOrEqual(2);
  expect(keys.reads).toBeLessThanOrEqual(4);
});
