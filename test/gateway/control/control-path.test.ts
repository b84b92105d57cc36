// Where control sockets are by default: only in a directory that nobody else can put anything into.

import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openControlSocket } from '../../../src/base/control-socket.js';
import {
  controlPathOf,
  defaultControlPath,
  runningGateways,
} from '../../../src/gateway/control/control-path.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-path-'));
afterAll(() => rm(folder, { recursive: true }));

let places = 0;
function newPlace(): { readonly env: NodeJS.ProcessEnv; readonly directory: string } {
  const runtime = join(folder, String(++places));
  mkdirSync(runtime);
  return { env: { XDG_RUNTIME_DIR: runtime }, directory: join(runtime, 'hawser') };
}

test('the directory is made for this user alone', () => {
  const { env, directory } = newPlace();
  expect(defaultControlPath('gateway', { env })).toBe(join(directory, 'gateway.sock'));
  expect(lstatSync(directory).mode & 0o777).toBe(0o700);
});

test('without a runtime directory, or with a relative one, it is among the temporary files', () => {
  const expected = join(tmpdir(), `hawser-${process.getuid?.()}`, 'gateway.sock');
  expect(controlPathOf('gateway', { env: {} })).toBe(expected);
  expect(controlPathOf('gateway', { env: { XDG_RUNTIME_DIR: 'run' } })).toBe(expected);
});

test.each(['../../etc/passwd', 'a/b', '.', '..', 'näme', 'a\0b', 'x\n'])(
  'the name %j stays in it',
  (name) => {
    const { env, directory } = newPlace();
    const path = defaultControlPath(name, { env });
    expect(path.slice(0, directory.length + 1)).toBe(`${directory}/`);
    expect(path.slice(directory.length + 1)).toMatch(/^[\w][\w.-]*\.sock$/);
  },
);

test('a directory that others may write to, a link or a file in its place is refused by both sides', async () => {
  const wrong: readonly ((directory: string) => void)[] = [
    (directory) => {
      mkdirSync(directory);
      chmodSync(directory, 0o777);
    },
    (directory) => {
      mkdirSync(`${directory}-else`, { mode: 0o700 });
      symlinkSync(`${directory}-else`, directory);
    },
    (directory) => writeFileSync(directory, ''),
  ];
  for (const make of wrong) {
    const { env, directory } = newPlace();
    make(directory);
    expect(() => defaultControlPath('gateway', { env })).toThrow(directory);
    await expect(runningGateways({ env })).rejects.toMatchObject({ code: 'ERR_HAWSER_PERMISSION' });
  }
});

test('those that run are found, what killed ones left is not', async () => {
  const { env } = newPlace();
  expect(await runningGateways({ env })).toEqual([]);
  const paths = ['b', 'a', 'left'].map((name) => defaultControlPath(name, { env }));
  const [b = '', a = '', left = ''] = paths;
  const controls = await Promise.all(
    [b, a].map((path) => openControlSocket(path, async () => 1, { served: 'gateway' })),
  );
  await leaveSocket(left);
  expect(await runningGateways({ env })).toEqual([
    { name: 'a', path: a },
    { name: 'b', path: b },
  ]);
  for (const control of controls) await control.close();
});

async function leaveSocket(path: string): Promise<void> {
  const { rename } = await import('node:fs/promises');
  const server = createServer().listen(`${path}.tmp`);
  await once(server, 'listening');
  await rename(`${path}.tmp`, path);
  server.close();
  await once(server, 'close');
}
