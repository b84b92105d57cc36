import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { masterKeyFrom, writeMasterKey } from '../../../src/keys/store/master-key.js';

let directory: string;
let file: string;
const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index * 7));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-master-key-'));
  file = join(directory, 'master');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
  delete process.env.HAWSER_TEST_MASTER_KEY;
});

const refused = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return `${error.code} ${error.message}`;
  }
  return 'not refused';
};

describe('a master key in a file', () => {
  test('is 32 bytes of base64, with or without a line end', () => {
    for (const end of ['', '\n', '\r\n']) {
      writeFileSync(file, key.toString('base64') + end, { mode: 0o600 });
      const read = masterKeyFrom({ file });
      expect(Buffer.from(read.bytes).equals(key)).toBe(true);
      read.wipe();
    }
  });

  test('is refused in any other form, and the message has nothing of it', () => {
    const text = key.toString('base64');
    const bad = [
      '',
      '\n',
      text.slice(0, -4),
      text.slice(0, -1),
      `${text}\n\n`,
      ` ${text}`,
      `${text} `,
      `${text}${text}`,
      text.replaceAll('+', '-').replaceAll('/', '_').replace('=', 'A'),
      key.toString('hex'),
      Buffer.alloc(33).toString('base64'),
      Buffer.alloc(31).toString('base64'),
      'A'.repeat(2 ** 16),
    ];
    for (const content of bad) {
      writeFileSync(file, content, { mode: 0o600 });
      const told = refused(() => masterKeyFrom({ file }));
      expect(told).toMatch(/^ERR_HAWSER_MASTER_KEY .* holds no 32 bytes of base64$/);
      expect(told).not.toContain(text.slice(0, 6));
    }
  });

  test.skipIf(process.platform === 'win32')('is refused when other users can read or write it', () => {
    writeFileSync(file, key.toString('base64'));
    for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602, 0o610]) {
      chmodSync(file, mode);
      expect(refused(() => masterKeyFrom({ file }))).toMatch(/^ERR_HAWSER_MASTER_KEY other users/);
    }
    for (const mode of [0o600, 0o400]) {
      chmodSync(file, mode);
      masterKeyFrom({ file }).wipe();
    }
  });

  test('is refused when it is missing, or no file', () => {
    expect(refused(() => masterKeyFrom({ file }))).toMatch(/^ERR_HAWSER_MASTER_KEY .*cannot be read$/);
    mkdirSync(file, { mode: 0o700 });
    expect(refused(() => masterKeyFrom({ file }))).toMatch(/^ERR_HAWSER_MASTER_KEY .*is no file$/);
  });

  test('is made anew, for this user alone, and never written over another', () => {
    writeMasterKey(file);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file);
    expect(masterKeyFrom({ file }).length).toBe(32);
    expect(refused(() => writeMasterKey(file))).toMatch(/^ERR_HAWSER_ARGUMENT/);
    expect(readFileSync(file)).toEqual(before);
    writeMasterKey(join(directory, 'other'));
    expect(readFileSync(join(directory, 'other'))).not.toEqual(before);
  });
});

describe('a master key in the environment', () => {
  test('is taken from it', () => {
    process.env.HAWSER_TEST_MASTER_KEY = key.toString('base64');
    const read = masterKeyFrom({ env: 'HAWSER_TEST_MASTER_KEY' });
    expect(Buffer.from(read.bytes).equals(key)).toBe(true);
    expect(process.env.HAWSER_TEST_MASTER_KEY).toBeUndefined();
  });

  test('is refused when there is none, or no key, and is deleted all the same', () => {
    expect(refused(() => masterKeyFrom({ env: 'HAWSER_TEST_MASTER_KEY' }))).toMatch(/^ERR_HAWSER_MASTER_KEY/);
    for (const value of ['short', 'A'.repeat(1000), `${key.toString('base64')}${'é'.repeat(3)}`]) {
      process.env.HAWSER_TEST_MASTER_KEY = value;
      expect(refused(() => masterKeyFrom({ env: 'HAWSER_TEST_MASTER_KEY' }))).toMatch(
        /^ERR_HAWSER_MASTER_KEY HAWSER_TEST_MASTER_KEY holds no/,
      );
      expect(process.env.HAWSER_TEST_MASTER_KEY).toBeUndefined();
    }
  });
});
