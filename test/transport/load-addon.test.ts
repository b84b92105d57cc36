// Which file the addon is loaded from, and what is said of one that is missing or does not load.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { addonBroken } from '../../src/transport/addon-errors.js';
import { findAddon, loadAddon, openAddon } from '../../src/transport/load-addon.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const built = join(repository, 'build', 'Release', 'hawser.node');
const { version } = loadAddon();
const folder = mkdtempSync(join(tmpdir(), 'hawser-addon-'));
afterAll(() => rmSync(folder, { recursive: true }));
const onLinuxX64 = process.platform === 'linux' && process.arch === 'x64';

let roots = 0;

/** An installed package, with these files in it. */
function packageWith(
  files: Readonly<Record<string, Uint8Array | string>>,
  manifest = { name: 'hawser', version },
): string {
  const root = join(folder, `package-${++roots}`);
  mkdirSync(root);
  writeFileSync(join(root, 'package.json'), JSON.stringify(manifest));
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(HawserError);
    expect(error).toHaveProperty('code', 'ERR_HAWSER_ADDON_MISSING');
    if (error instanceof HawserError) return error.message;
  }
  throw new Error('nothing was thrown');
}

const prebuild = `prebuilds/${process.platform}-${process.arch}/hawser.node`;
const local = 'build/Release/hawser.node';

test('a local build goes before a prebuild, and a named file before both', () => {
  const both = packageWith({ [prebuild]: '', [local]: '' });
  expect(findAddon({ root: both, named: undefined })).toEqual({ path: join(both, local), origin: 'build' });
  expect(findAddon({ root: both, named: '' })).toEqual({ path: join(both, local), origin: 'build' });
  expect(findAddon({ root: both, named: built })).toEqual({ path: built, origin: 'environment' });
  const one = packageWith({ [prebuild]: '' });
  expect(findAddon({ root: one, named: undefined })).toEqual({
    path: join(one, prebuild),
    origin: 'prebuild',
  });
});

test('a named file is loaded without a package', () => {
  expect(openAddon({ root: undefined, named: built }).version).toBe(version);
});

test('one message names platform, Node.js, both places, and the command', () => {
  const root = packageWith({});
  const message = messageOf(() => openAddon({ root, named: undefined }));
  expect(message).toContain(`for ${process.platform}-${process.arch} (`);
  expect(message).toContain(`Node.js ${process.versions.node})`);
  expect(message).toContain(join(root, local));
  expect(message).toContain(join(root, 'prebuilds', `${process.platform}-${process.arch}`));
  expect(message).toMatch(/compile it with "npx hawser build"$/);
  if (process.platform === 'linux') expect(message).toMatch(/\((glibc \d|musl)/);
});

test('in a clone it is npm run setup that compiles', () => {
  const root = packageWith({ 'binding.gyp': '{}' });
  expect(messageOf(() => openAddon({ root, named: undefined }))).toMatch(/compile it with "npm run setup"$/);
});

test('code that was bundled asks to be left outside, or for the file', () => {
  const message = messageOf(() => openAddon({ root: undefined, named: undefined }));
  expect(message).toContain('was bundled');
  expect(message).toContain('HAWSER_ADDON');
});

test('a named file that is not there is no reason to take another', () => {
  const named = join(folder, 'nowhere.node');
  const message = messageOf(() => openAddon({ root: repository, named }));
  expect(message).toBe(
    `the native addon of hawser (HAWSER_ADDON ${named}) cannot be used: there is no such file; correct or unset HAWSER_ADDON, or compile it anew with "npx hawser build"`,
  );
});

/** The addon with its ELF header or a text in it changed. */
function altered(change: (bytes: Buffer) => void): Uint8Array {
  const bytes = readFileSync(built);
  change(bytes);
  return bytes;
}

test.runIf(onLinuxX64).each([
  ['a text', () => 'not an addon'.repeat(1000), /it is damaged, or for another platform/],
  ['half a file', () => readFileSync(built).subarray(0, 40), /it is damaged, or for another platform/],
  [
    'one for arm64',
    () => altered((bytes) => bytes.writeUInt16LE(183, 18)),
    /it is damaged, or for another platform/,
  ],
])('%s in the place of a prebuild is named, with the cause', (_, content, remedy) => {
  const root = packageWith({ [prebuild]: content() });
  const message = messageOf(() => openAddon({ root, named: undefined }));
  expect(message).toContain(`(prebuilt, ${join(root, prebuild)}) cannot be loaded on linux-x64 (`);
  expect(message).toMatch(remedy);
  expect(message).not.toContain('\n');
});

const file = { path: '/package/prebuilds/linux-x64/hawser.glibc.node', origin: 'prebuild' } as const;

test.each([
  ["/lib/libc.so.6: version `GLIBC_2.28' not found (required by x)", 'a newer C library'],
  ['x: failed to map segment from shared object', 'noexec'],
  ['dlopen(x): incompatible architecture (have arm64)', 'damaged, or for another platform'],
  ['\\\\?\\x.node is not a valid Win32 application.', 'damaged, or for another platform'],
  ['libsodium.so.23: cannot open shared object file: No such file', 'compile one for this system'],
])('what the system says decides what to do: %s', (reason, remedy) => {
  const { message } = addonBroken(file, new Error(`${reason}\nmore`));
  expect(message).toContain(`: ${reason}; `);
  expect(message).toContain(remedy);
});

test('where addons are not allowed, the option that allows them is named', () => {
  const cause = Object.assign(new Error('disabled'), { code: 'ERR_DLOPEN_DISABLED' });
  expect(addonBroken(file, cause).message).toMatch(/--allow-addons/);
});

test('an addon of another version is refused', () => {
  const root = packageWith({}, { name: 'hawser', version: '99.0.0' });
  mkdirSync(join(root, 'build', 'Release'), { recursive: true });
  cpSync(built, join(root, local));
  expect(messageOf(() => openAddon({ root, named: undefined }))).toContain(
    `it belongs to version ${version} of hawser, and this is 99.0.0`,
  );
});
