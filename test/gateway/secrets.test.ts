// Where secrets of a configuration may be, and that no message repeats them.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkGatewayConfig } from '../../src/gateway/config-check.js';
import { loadConfig } from '../../src/gateway/config-file.js';
import { readSecret } from '../../src/gateway/secrets.js';
import { formatKey, generateKey } from '../../src/token/server-key.js';

const secret = formatKey(generateKey({ id: 7 }));
const material = secret.slice(-43);
const folder = mkdtempSync(join(tmpdir(), 'hawser-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

function written(name: string, content: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const warnings: string[] = [];
const read = (file: string): string =>
  readSecret('keys[0]', { file }, folder, (message) => void warnings.push(message));

test('a file is read without the white space at its ends, through a link as well', () => {
  const file = written('key', ` ${secret}\r\n\n`);
  symlinkSync(file, join(folder, 'link'));
  expect(read(file)).toBe(secret);
  expect(read('link')).toBe(secret);
  expect(warnings).toEqual([]);
});

test.skipIf(process.platform === 'win32')('a file that everybody may read is read with a warning', () => {
  const file = written('open', secret, 0o644);
  expect(read(file)).toBe(secret);
  expect(warnings).toEqual([`keys[0]: every user of this machine can read ${file}; run "chmod 600" on it`]);
});

test.skipIf(process.platform === 'win32')(
  'what is no regular file is refused, and not waited for: a pipe, a device without an end, a directory',
  () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const path of [pipe, '/dev/zero', folder]) {
      expect(() => read(path)).toThrow(`keys[0]: ${path} is no regular file`);
    }
  },
);

test('an empty file, one that is too long and one that is not there are refused', () => {
  expect(() => read(written('empty', '\n'))).toThrow('keys[0]: it is empty');
  expect(() => read(written('long', 'x'.repeat(65_537)))).toThrow('has more than 65536 bytes');
  expect(() => read('none')).toThrow(/^keys\[0\]: cannot read .*none: no such file/);
});

test.each<[string, unknown]>([
  ['a key in the place of the array of them', { keys: secret }],
  ['a key in an array within the array', { keys: [[secret]] }],
  ['a key as a name', { keys: [{ [secret]: '' }] }],
  ['a token in the place of admin', { admin: material }],
  ['a token in an array', { admin: { token: [material] } }],
  ['a token as a name', { admin: { token: { [material]: true } } }],
  [
    'a password in the address of a store',
    { sessions: { store: `etcd://root:a/${material}@127.0.0.1:2379` } },
  ],
  ['one in the address of no store', { sessions: { store: `https://root:${material}@127.0.0.1` } }],
  ['a reset key in an array', { listeners: [{ resetKey: [material] }] }],
  [
    'a getter that throws it',
    {
      get keys() {
        throw new Error(material);
      },
    },
  ],
])('%s is refused in a message without it', (_, config) => {
  let message = '';
  expect(() => {
    try {
      checkGatewayConfig(config, folder);
    } catch (error) {
      message = String(error);
      throw error;
    }
  }).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CONFIG' }));
  expect(message).not.toContain(material);
  expect(message).not.toContain(material.slice(0, 8));
});

test.skipIf(process.platform === 'win32')(
  'a configuration that is no regular file is not waited for',
  async () => {
    const pipe = join(folder, 'pipe.json');
    execFileSync('mkfifo', [pipe]);
    await expect(loadConfig(pipe)).rejects.toThrow(`cannot read ${pipe}: it is no regular file`);
  },
);
