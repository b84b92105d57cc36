// `hawser build --out` into a folder that others can write to.

import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildAddon } from '../../src/cli/build-addon.js';
import { temporaryFolder } from './support.js';

test.skipIf(process.platform === 'win32').each([
  ['writable by all', 0o777],
  ['sticky, as /tmp is', 0o1777],
])('a folder that is %s gets nothing: what is in it may be of anybody', async (_, mode) => {
  const source = temporaryFolder();
  const target = join(temporaryFolder(), 'out');
  mkdirSync(target);
  chmodSync(target, mode);
  const build = buildAddon({
    root: source,
    source,
    target,
    compiler: undefined,
    nodeGyp: { program: process.execPath, args: ['-e', ''], from: 'a test' },
    jobs: 1,
    clean: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  await expect(build).rejects.toThrow(
    `every user of this machine can write to ${target}: give --out a folder of your own`,
  );
  expect(readdirSync(target)).toEqual([]);
});
