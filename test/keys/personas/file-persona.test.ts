import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { fileNameOf, idOf } from '../../../src/keys/personas/file-names.js';
import { FilePersona, type FilePersonaOptions } from '../../../src/keys/personas/file-persona.js';
import { contextOf, deviceKey, peer } from './support.js';

const device = expect.objectContaining({ code: 'ERR_HAWSER_DEVICE' });
const argument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
const dist = (path: string): string => fileURLToPath(new URL(`../../../dist/${path}`, import.meta.url));

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-file-'));
});
afterEach(() => rm(directory, { recursive: true }));

const current = (): string => join(directory, peer, 'current');
const keyFile = (keyId: string): string => join(directory, peer, 'keys', keyId);

describe('the file persona', () => {
  test('has the current key at one path, and the live ones beside it, for this user only', async () => {
    const persona = new FilePersona({ directory });
    await persona.preConfigure(deviceKey('old'), contextOf());
    await persona.rotate(deviceKey('old'), contextOf());
    await persona.preConfigure(deviceKey('new'), contextOf());
    expect(await readFile(current())).toEqual(Buffer.from(deviceKey('old').material.bytes));
    await persona.rotate(deviceKey('new'), contextOf());
    expect(await readFile(current())).toEqual(Buffer.from(deviceKey('new').material.bytes));
    expect(await readFile(keyFile('old'))).toEqual(Buffer.from(deviceKey('old').material.bytes));
    for (const path of [keyFile('old'), keyFile('new')]) expect((await stat(path)).mode & 0o777).toBe(0o600);
    for (const path of [join(directory, peer), join(directory, peer, 'keys')])
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await persona.status(contextOf())).toMatchObject({
      connected: true,
      currentKeyId: 'new',
      liveKeyIds: expect.arrayContaining(['old', 'new']),
    });
  });

  test('leaves nothing of a key behind that cannot be written', async () => {
    const persona = new FilePersona({ directory });
    await persona.rotate(deviceKey('old'), contextOf());
    // Where the key is to be there is a directory, which no file takes the place of.
    await mkdir(keyFile('new'));
    for (let attempt = 0; attempt < 3; ++attempt)
      await expect(persona.preConfigure(deviceKey('new'), contextOf())).rejects.toEqual(device);
    expect((await readdir(join(directory, peer, 'keys'))).sort()).toEqual(['new', 'old']);
  });

  test.each([
    ['that others can write in', (path: string) => mkdir(path).then(() => chmod(path, 0o777))],
    ['that is a link', (path: string) => symlink(tmpdir(), path)],
  ])('takes no directory of a peer %s: another key could be put in the place of ours', async (_, make) => {
    await make(join(directory, peer));
    const persona = new FilePersona({ directory });
    await expect(persona.preConfigure(deviceKey('new'), contextOf())).rejects.toEqual(device);
    await rm(join(directory, peer), { recursive: true });
    await persona.preConfigure(deviceKey('new'), contextOf());
  });

  test('takes no directory in one that others can write in, but for one like /tmp', async () => {
    const persona = new FilePersona({ directory });
    await chmod(directory, 0o777);
    await expect(persona.preConfigure(deviceKey('new'), contextOf())).rejects.toEqual(device);
    await chmod(directory, 0o1777);
    await persona.preConfigure(deviceKey('new'), contextOf());
  });

  test('writes base64 with a line feed if asked to', async () => {
    const persona = new FilePersona({ directory, encoding: 'base64' });
    await persona.rotate(deviceKey('one', 20), contextOf());
    const line = `${Buffer.from(deviceKey('one', 20).material.bytes).toString('base64')}\n`;
    expect(await readFile(current(), 'utf8')).toBe(line);
  });

  test('overwrites a key before it removes it, and does not remove the current one', async () => {
    const persona = new FilePersona({ directory });
    await persona.rotate(deviceKey('old'), contextOf());
    await expect(persona.deleteKey('old', contextOf())).rejects.toEqual(device);
    await persona.rotate(deviceKey('new'), contextOf());
    // The same blocks under another name.
    const witness = join(directory, 'witness');
    await link(keyFile('old'), witness);
    await persona.deleteKey('old', contextOf());
    await persona.deleteKey('old', contextOf());
    expect(await readdir(join(directory, peer, 'keys'))).toEqual(['new']);
    const left = await readFile(witness);
    expect(left).toHaveLength(32);
    expect(left).not.toEqual(Buffer.from(deviceKey('old').material.bytes));
  });

  test('each call may come again', async () => {
    const persona = new FilePersona({ directory });
    for (let time = 0; time < 2; ++time) {
      await persona.preConfigure(deviceKey('one'), contextOf());
      await persona.rotate(deviceKey('one'), contextOf());
      await persona.rotate(undefined, contextOf());
    }
    await expect(readlink(current())).rejects.toThrow('ENOENT');
    await persona.deleteKey('one', contextOf());
    await persona.deleteKey('one', contextOf());
  });

  test('failed closed, there is no current key', async () => {
    const persona = new FilePersona({ directory });
    await persona.rotate(deviceKey('one'), contextOf());
    await persona.failClosed(contextOf());
    expect((await persona.status(contextOf())).currentKeyId).toBeNull();
  });

  test('peers have directories of their own, whatever their ids and the ids of keys are', async () => {
    const persona = new FilePersona({ directory });
    const ids = ['../..', '.', 'a/b', 'ä', '%41', 'A', 'x'.repeat(1000), '\0', 'a b\n'];
    for (const peerSaeId of ids) await persona.rotate(deviceKey(peerSaeId), contextOf({ peerSaeId }));
    expect(await readdir(directory)).toHaveLength(ids.length);
    for (const peerSaeId of ids) {
      await expect(persona.deleteKey(peerSaeId, contextOf({ peerSaeId }))).rejects.toEqual(device);
      const { liveKeyIds, currentKeyId } = await persona.status(contextOf({ peerSaeId }));
      expect(liveKeyIds).toEqual([currentKeyId]);
      if (peerSaeId.length < 100) expect(currentKeyId).toBe(peerSaeId);
    }
  });

  test('does not overwrite what a symbolic link in place of a key leads to', async () => {
    const persona = new FilePersona({ directory });
    await persona.rotate(deviceKey('one'), contextOf());
    const elsewhere = join(directory, 'elsewhere');
    await writeFile(elsewhere, 'mine');
    await symlink(elsewhere, keyFile('two'));
    await persona.deleteKey('two', contextOf());
    expect(await readFile(elsewhere, 'utf8')).toBe('mine');
    expect(await readdir(join(directory, peer, 'keys'))).toEqual(['one']);
  });

  test('fails with the reason when the directory cannot be used', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    const persona = new FilePersona({ directory: file });
    await expect(persona.preConfigure(deviceKey('one'), contextOf())).rejects.toEqual(device);
    expect(await persona.testConnection(contextOf())).toBe(false);
  });

  test('does nothing once the time is over', async () => {
    const persona = new FilePersona({ directory });
    const late = contextOf({ signal: AbortSignal.abort() });
    await expect(persona.preConfigure(deviceKey('one'), late)).rejects.toEqual(device);
    expect(await readdir(directory)).toEqual([]);
  });

  test.each([
    [{ directory: 'relative' }],
    [{ directory: '' }],
    [{ directory: '/tmp', encoding: 'hex' }],
    [{ directory: '/tmp', mode: 0o644 }],
  ])('refuses %j', (options) => {
    const given: FilePersonaOptions = JSON.parse(JSON.stringify(options));
    expect(() => new FilePersona(given)).toThrow(argument);
  });

  test('killed at any moment, it leaves one whole current key, and goes on from there', async () => {
    const seed = 20_261_123;
    const random = seededRandom(seed);
    const child = fileURLToPath(new URL('children/keys-of-a-peer.mjs', import.meta.url));
    const modules = [dist('keys/personas/file-persona.js'), dist('base/secret-bytes.js')];
    for (let round = 0; round < 8; ++round) {
      const writer = spawn(process.execPath, [child, ...modules, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(writer.stdout, 'data');
      const ended = once(writer, 'exit');
      setTimeout(() => writer.kill('SIGKILL'), random() * 60);
      // While it works, whoever reads the current key reads one whole key or, before the first, none.
      let over = false;
      void ended.then(() => {
        over = true;
      });
      while (!over) {
        const key = await readFile(current()).catch((error: NodeJS.ErrnoException) => error.code);
        // What was read of a key that was deleted meanwhile is chance: as long, and not a key of the writer's.
        if (typeof key === 'object') expect(key, `seed ${seed}, round ${round}`).toHaveLength(32);
        else expect(key, `seed ${seed}, round ${round}`).toBe('ENOENT');
      }
      if (round > 0) {
        const key = await readFile(current());
        expect(new Set(key).size, `seed ${seed}, round ${round}`).toBe(1);
      }
      const names = await readdir(join(directory, peer, 'keys'));
      // What the writer before left as current, the last one, the current one, and what is being written.
      expect(names.length, `seed ${seed}, round ${round}`).toBeLessThanOrEqual(4);
      const persona = new FilePersona({ directory });
      const { liveKeyIds = [], currentKeyId } = await persona.status(contextOf());
      for (const keyId of liveKeyIds) if (keyId !== currentKeyId) await persona.deleteKey(keyId, contextOf());
      const left = await readdir(join(directory, peer, 'keys'));
      expect(left.map(idOf), `seed ${seed}, round ${round}`).toEqual(
        currentKeyId === null ? [] : [currentKeyId],
      );
    }
  });
});

test('file names tell ids apart and lead back to them', () => {
  const ids = ['a', 'A', '.', '..', 'a/b', 'a%2fb', '%', 'ä', '😀', '\0', ' ', '-', '~'];
  const names = ids.map(fileNameOf);
  expect(new Set(names).size).toBe(ids.length);
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_%-][A-Za-z0-9_.%-]*$/);
  expect(names.map(idOf)).toEqual(ids);
});
