// deploy/systemd/hawser.service is a unit that systemd takes, and what is in it exists.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { hawserHere } from '../cli/in-process.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(root, 'deploy/systemd/hawser.service'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'hawser-unit-'));
afterAll(() => rm(folder, { recursive: true }));

const settings = new Map(
  [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
);

const hasVerify = spawnSync('systemd-analyze', ['--version']).status === 0;

test.runIf(hasVerify)(
  'systemd finds nothing wrong with it (needs systemd-analyze, of the package systemd)',
  () => {
    const file = join(folder, 'hawser.service');
    // It looks for the program.
    writeFileSync(file, text.replace('/usr/bin/node', process.execPath));
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    // Units of the machine may be wrong, too: only what is said of this one counts.
    expect(stderr.split('\n').filter((line) => line.includes('hawser'))).toEqual([]);
    expect(status).toBe(0);
  },
);

test('what it starts exists', async () => {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [, program = '', ...args] = settings.get('ExecStart')?.split(' ') ?? [];
  expect(program.endsWith(`node_modules/hawser/${bin.hawser}`)).toBe(true);
  expect(existsSync(join(root, bin.hawser))).toBe(true);
  const [command = '', ...options] = args;
  const { stdout } = await hawserHere(command, '--help');
  for (const option of options.filter((each) => each.startsWith('--'))) expect(stdout).toContain(option);
});

test('V8 may write machine code, and privileges cannot be had', () => {
  expect(settings.get('MemoryDenyWriteExecute')).toBe('no');
  expect(settings.get('NoNewPrivileges')).toBe('yes');
  expect(settings.get('CapabilityBoundingSet')).toBe('');
  expect(settings.get('ProtectSystem')).toBe('strict');
  expect(settings.get('Type')).toBe('notify');
});
