import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { stateOfLmdbFile } from '../../src/base/lmdb-pages.js';
import { type LmdbOptions, type LmdbStore, openLmdb } from '../../src/base/lmdb-store.js';
import { decodeOwner, encodeOwner, isRunning, newOwner } from '../../src/base/store-owner.js';

const options: LmdbOptions = {
  maxBytes: 2 ** 24,
  databases: ['one', 'two'],
  format: { name: 'test', version: 1 },
};

let directory: string;
let stores: LmdbStore[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-lmdb-'));
  stores = [];
});

afterEach(async () => {
  for (const store of stores) await store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function open(changed: Partial<LmdbOptions> = {}, path = directory): Promise<LmdbStore> {
  const store = await openLmdb(path, { ...options, ...changed });
  stores.push(store);
  return store;
}

const key = (text: string) => Buffer.from(text);

describe('the owner of a store', () => {
  it('is running while its process is, and not when another has its id, or the machine was started anew', () => {
    const self = newOwner(directory);
    expect(decodeOwner(encodeOwner(self))).toEqual(self);
    expect(isRunning(self)).toBe(true);
    expect(isRunning({ ...self, started: `${self.started}0` })).toBe(false);
    expect(isRunning({ ...self, boot: 'another' })).toBe(false);
    expect(isRunning({ ...self, pidSpace: 'another' })).toBe(false);
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    expect(isRunning({ ...self, pid })).toBe(false);
  });

  it.each(['', 'text', '[]', 'null', '{"pid":"7"}', '{"pid":7.5}'])('is nobody in %j', (text) => {
    expect(decodeOwner(Buffer.from(text))).toBeUndefined();
  });
});

describe('an LMDB store', () => {
  it('keeps what a transaction wrote across closing and opening', async () => {
    const path = join(directory, 'with.extension', 'and below');
    const store = await open({}, path);
    const length = await store.transaction(() => {
      store.database('one').putSync(key('a'), Buffer.from('value'));
      return store.database('one').get(key('a'))?.length;
    });
    expect(length).toBe(5);
    await store.close();
    await store.close();
    const again = await open({}, path);
    expect(again.database('one').get(key('a'))?.toString()).toBe('value');
    expect(again.database('two').get(key('a'))).toBeUndefined();
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(path, 'data.mdb')).mode & 0o777).toBe(0o600);
  });

  it('undoes a transaction that throws, and no other one of the same commit', async () => {
    const store = await open();
    const outcomes = await Promise.allSettled(
      [1, 2, 3, 4].map((n) =>
        store.transaction(() => {
          store.database('one').putSync(key(`k${n}`), Buffer.from('v'));
          if (n % 2 === 0) throw new RangeError(`not ${n}`);
          return n;
        }),
      ),
    );
    expect(outcomes.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected']);
    expect([1, 2, 3, 4].map((n) => store.database('one').get(key(`k${n}`)) !== undefined)).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  it('refuses what would make it larger than allowed, keeps what it has, and takes more when room was made', async () => {
    const store = await open({ maxBytes: 2 ** 20 });
    const one = store.database('one');
    const fill = (n: number) => store.transaction(() => one.putSync(key(`k${n}`), Buffer.alloc(10_000, n)));
    let kept = 0;
    const full = await (async () => {
      for (; kept < 1000; ++kept) await fill(kept);
    })().catch((error: unknown) => error);
    expect(full).toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
    expect(kept).toBeGreaterThan(50);
    expect(one.getKeysCount()).toBe(kept);
    expect(store.usage.bytes).toBeLessThanOrEqual(2 ** 20);
    await store.transaction(() => {
      for (let n = 0; n < 10; ++n) one.removeSync(key(`k${n}`));
    });
    await fill(1);
    expect(one.get(key('k1'))?.length).toBe(10_000);
  });

  it('refuses a second opening in this process, until it is closed', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
    await store.transaction(() => store.database('one').putSync(key('a'), key('b')));
    await store.close();
    await expect(store.transaction(() => 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await open();
  });

  it('can be opened as a copy that was made while it was open, and both are written', async () => {
    const store = await open();
    await store.transaction(() => store.database('one').putSync(key('a'), key('1')));
    const folder = join(directory, 'copy');
    mkdirSync(folder, { mode: 0o700 });
    copyFileSync(join(directory, 'data.mdb'), join(folder, 'data.mdb'));
    const copy = await open({}, folder);
    await copy.transaction(() => copy.database('one').putSync(key('a'), key('2')));
    await store.transaction(() => store.database('one').putSync(key('b'), key('1')));
    expect(copy.database('one').get(key('a'))).toEqual(key('2'));
    expect(store.database('one').get(key('a'))).toEqual(key('1'));
    await expect(open({}, folder)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
    await copy.close();
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
  });

  it('writes no more when another has become the owner', async () => {
    const store = await open();
    const environment = store.database('one');
    await store.transaction(() => environment.putSync(key('a'), key('b')));
    // As a process does that cannot see this one: in another name space of process ids.
    const { open: openEnvironment } = await import('lmdb');
    const root = openEnvironment({
      path: directory,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
    });
    const own = root.openDB({ name: 'hawser', encoding: 'binary', keyEncoding: 'binary' });
    own.putSync(key('owner'), encodeOwner(newOwner(directory)));
    await expect(store.transaction(() => environment.putSync(key('a'), key('c')))).rejects.toMatchObject({
      code: 'ERR_HAWSER_STORE_LOCKED',
    });
    expect(environment.get(key('a'))?.toString()).toBe('b');
    await root.close();
  });

  it('rejects with what the transaction threw, and goes on', async () => {
    const store = await open();
    const own = new HawserError('ERR_HAWSER_ARGUMENT', 'no');
    await expect(
      store.transaction(() => {
        throw own;
      }),
    ).rejects.toBe(own);
    await expect(
      store.transaction(() => {
        throw new TypeError('oops');
      }),
    ).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE', cause: { message: 'oops' } });
    expect(await store.transaction(() => 5)).toBe(5);
  });

  it('a commit of a relaxed store is followed by another that makes it durable; closing in between is no error', async () => {
    const store = await open({ durability: 'relaxed' });
    await store.transaction(() => store.database('one').putSync(key('a'), key('b')));
    await store.close();
    const again = await open();
    expect(again.database('one').get(key('a'))?.toString()).toBe('b');
  });

  it.each([
    ['of another kind', { format: { name: 'other', version: 1 } }],
    ['of another version', { format: { name: 'test', version: 2 } }],
  ])('refuses a store %s', async (_, changed) => {
    await (await open()).close();
    await expect(open(changed)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FORMAT' });
    await open();
  });

  it.each([
    ['text', Buffer.from('this is no store'.repeat(1000))],
    ['zeros', Buffer.alloc(65_536)],
  ])('refuses a file of %s', async (_, content) => {
    writeFileSync(join(directory, 'data.mdb'), content);
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FORMAT' });
  });
});

/** The store's file with documents on pages of their own, and small ones in a tree with branches. */
async function storeFile(): Promise<string> {
  const store = await open();
  await store.transaction(() => {
    for (let n = 0; n < 2000; ++n) store.database('one').putSync(key(`k${n}`), Buffer.alloc(100, n));
    for (let n = 0; n < 20; ++n) store.database('two').putSync(key(`k${n}`), Buffer.alloc(30_000, n));
  });
  await store.close();
  return join(directory, 'data.mdb');
}

function stateOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    return stateOfLmdbFile(file);
  } finally {
    closeSync(file);
  }
}

/** The positions of the two meta pages, the current one first. */
function metaPages(bytes: Buffer): [number, number] {
  const transactionOf = (at: number) => bytes.readBigUInt64LE(at + 152);
  return transactionOf(0) >= transactionOf(4096) ? [0, 4096] : [4096, 0];
}

const lastPage = 144;

describe('the file of an LMDB store', () => {
  it('is complete as LMDB leaves it, and incomplete wherever it is cut off', async () => {
    const path = await storeFile();
    expect(stateOf(path)).toBe('complete');
    const bytes = readFileSync(path);
    const pages = bytes.readUInt32LE(metaPages(bytes)[0] + lastPage) + 1;
    expect(pages).toBeGreaterThan(200);
    const cut = join(directory, 'cut');
    const states: string[] = [];
    for (let kept = 2; kept < pages; kept += 7) {
      writeFileSync(cut, bytes.subarray(0, kept * 4096 + (kept % 3) * 100));
      states.push(stateOf(cut));
    }
    expect(new Set(states)).toEqual(new Set(['incomplete']));
  });

  it('is complete when only pages are missing that nothing leads to', async () => {
    const path = await storeFile();
    const bytes = readFileSync(path);
    const [current] = metaPages(bytes);
    const at = current + lastPage;
    // As after a transaction that took pages at the end of the file and gave them back.
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) + 50n, at);
    writeFileSync(path, bytes);
    expect(stateOf(path)).toBe('complete');
    const store = await open();
    expect(store.database('one').get(key('k1999'))?.length).toBe(100);
    await store.transaction(() => store.database('two').putSync(key('k20'), Buffer.alloc(30_000)));
  });

  it.each([
    ['half of it', (size: number) => Math.floor(size / 2)],
    ['its first pages only', () => 8192],
  ])('cut off to %s is refused, and the process goes on', async (_, length) => {
    const path = await storeFile();
    truncateSync(path, length(statSync(path).size));
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE', message: /cut off/ });
  });

  it.each([
    ['pages of no bytes', 48, 0],
    ['pages of an odd length', 48, 4097],
    ['another format', 28, 3],
    ['a root before all pages', 48 + 40, 1],
    ['a root behind all pages', 96 + 40, 100_000],
  ])('with %s is refused', async (_, at, value) => {
    const path = await storeFile();
    const bytes = readFileSync(path);
    for (const position of metaPages(bytes)) bytes.writeUInt32LE(value, position + at);
    writeFileSync(path, bytes);
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FORMAT' });
  });

  it('is incomplete when nothing but a part of a document is missing', async () => {
    const store = await open();
    const path = join(directory, 'data.mdb');
    const document = Buffer.alloc(10 * 4096 - 24, 0xab);
    const endsWithDocument = () =>
      readFileSync(path)
        .subarray(-4096)
        .every((byte) => byte === 0xab);
    for (let n = 0; n === 0 || !endsWithDocument(); ++n) {
      expect(n).toBeLessThan(50);
      await store.transaction(() => store.database('one').putSync(key(`k${n}`), document));
    }
    await store.close();
    expect(stateOf(path)).toBe('complete');
    truncateSync(path, statSync(path).size - 4096);
    expect(stateOf(path)).toBe('incomplete');
  });

  it('is incomplete when it is cut off and pages are reached by more ways than there are pages', async () => {
    const path = await storeFile();
    const bytes = readFileSync(path);
    const [current] = metaPages(bytes);
    bytes.writeBigUInt64LE(BigInt(bytes.length / 4096), current + lastPage);
    bytes.fill(0xff, current + 48 + 40, current + 48 + 48);
    bytes.writeBigUInt64LE(10n, current + 96 + 40);
    bytes.writeUInt16LE(32, current + 96 + 6);
    // Branches whose two nodes lead to the next one, down to an empty leaf: by two to the power of 31 ways.
    for (let number = 10; number <= 41; ++number) {
      const at = number * 4096;
      bytes.fill(0, at, at + 4096);
      bytes.writeUInt16LE(number === 41 ? 0x02 : 0x01, at + 18);
      if (number === 41) continue;
      bytes.writeUInt16LE(4, at + 20);
      bytes.writeUInt16LE(8, at + 24);
      bytes.writeUInt16LE(8, at + 26);
      bytes.writeBigUInt64LE(BigInt(number + 1), at + 24 + 8);
    }
    writeFileSync(path, bytes);
    expect(stateOf(path)).toBe('incomplete');
  });

  it('that is cut off is looked at to the end, wherever its damaged pages lead', async () => {
    const path = await storeFile();
    const whole = readFileSync(path);
    const [current] = metaPages(whole);
    let seed = 0x5eed;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return seed % below;
    };
    for (let round = 0; round < 200; ++round) {
      const bytes = Buffer.from(whole);
      bytes.writeBigUInt64LE(BigInt(whole.length / 4096) + 1n, current + lastPage);
      bytes.writeUInt16LE(0xffff, current + 96 + 6);
      for (let n = 0; n < 300; ++n) bytes[8192 + random(bytes.length - 8192)] = random(4);
      for (let n = 0; n < 40; ++n) bytes.fill(random(256), 8192 + 4096 * random(30), 8192 + 4096 * 30);
      writeFileSync(path, bytes);
      expect(stateOf(path), `round ${round}`).not.toBe('foreign');
    }
  });

  it.skipIf(process.platform === 'win32')('is refused when it is a link or no file', async () => {
    const target = join(directory, 'target');
    for (const name of ['data.mdb', 'lock.mdb']) {
      const path = join(directory, 'store', name);
      mkdirSync(join(directory, 'store'), { mode: 0o700 });
      symlinkSync(target, path);
      await expect(open({}, join(directory, 'store'))).rejects.toMatchObject({
        code: 'ERR_HAWSER_STORE_FORMAT',
      });
      rmSync(path);
      spawnSync('mkfifo', [path]);
      await expect(open({}, join(directory, 'store'))).rejects.toMatchObject({
        code: 'ERR_HAWSER_STORE_FORMAT',
      });
      rmSync(join(directory, 'store'), { recursive: true });
    }
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe.skipIf(process.platform === 'win32')('the directory of an LMDB store', () => {
  const path = () => join(directory, 'store');
  const make = (mode: number) => {
    mkdirSync(path());
    chmodSync(path(), mode);
  };

  it('is opened as its user made it, when others can read it and not write it', async () => {
    make(0o755);
    await (await open({}, path())).close();
    await open({}, path());
    expect(statSync(path()).mode & 0o7777).toBe(0o755);
  });

  it('is taken from others who can write it while it is empty', async () => {
    make(0o2777);
    await open({}, path());
    expect(statSync(path()).mode & 0o7777).toBe(0o2755);
  });

  it.each([0o775, 0o757, 0o1777])(
    'is refused when others can write it and something is in it: mode %o',
    async (mode) => {
      make(mode);
      writeFileSync(join(path(), 'something'), '');
      await expect(open({}, path())).rejects.toMatchObject({
        code: 'ERR_HAWSER_STORE',
        message: /chmod go-w/,
      });
      expect(readdirSync(path())).toEqual(['something']);
    },
  );

  it('may be behind a link of this user', async () => {
    make(0o700);
    const link = join(directory, 'link');
    symlinkSync(path(), link);
    const store = await open({}, link);
    expect(store.path).toBe(realpathSync(path()));
  });

  // Only root can give files away.
  it.skipIf(process.geteuid?.() !== 0)(
    'is refused when it, a link to it or a file in it is of another user',
    async () => {
      const refusal = { code: 'ERR_HAWSER_STORE', message: /belongs to another user \(65534\)/ };
      make(0o700);
      const link = join(directory, 'link');
      symlinkSync(path(), link);
      lchownSync(link, 65_534, 65_534);
      await expect(open({}, link)).rejects.toMatchObject(refusal);
      chownSync(path(), 65_534, 65_534);
      await expect(open({}, path())).rejects.toMatchObject(refusal);
      expect(readdirSync(path())).toEqual([]);
      chownSync(path(), 0, 0);
      await (await open({}, path())).close();
      chownSync(join(path(), 'data.mdb'), 65_534, 65_534);
      await expect(open({}, path())).rejects.toMatchObject(refusal);
    },
  );
});
