// What `hawser build` finds on a machine, and what it says is missing. That it compiles, the install test proves.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { findNodeGyp } from '../../src/cli/build-node-gyp.js';
import { packagesCommand } from '../../src/cli/build-packages.js';
import { findBuildTools, findProgram, headersPrefix } from '../../src/cli/build-tools.js';
import { hawserHere } from './in-process.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hawser-build-'));
afterAll(() => rmSync(folder, { recursive: true }));

let folders = 0;

/** A folder for a PATH with these programs, each a shell script. */
function pathWith(programs: Readonly<Record<string, string>>): string {
  const path = join(folder, `bin-${++folders}`);
  mkdirSync(path);
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(path, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(path, name), 0o755);
  }
  return path;
}

async function foundWith(env: NodeJS.ProcessEnv): Promise<Record<string, string | undefined>> {
  const { tools } = await findBuildTools(repository, env);
  return Object.fromEntries(tools.map(({ name, found }) => [name, found]));
}

test('all is found on a machine that built this addon', async () => {
  const { tools, remedy } = await findBuildTools(repository, process.env);
  for (const { name, found } of tools) expect(found, name).toBeDefined();
  expect(remedy).toBeUndefined();
});

test('an empty PATH has neither compiler, make nor Python, and no package manager is guessed', async () => {
  const { tools, compiler, remedy } = await findBuildTools(repository, { PATH: pathWith({}) });
  const missing = tools.filter(({ found }) => found === undefined).map(({ name }) => name);
  expect(missing).toEqual(expect.arrayContaining(['C++20 compiler', 'make', 'Python 3']));
  expect(compiler).toBeUndefined();
  expect(remedy).toBeUndefined();
});

test('a compiler that does not know C++20 is passed over for the next', async () => {
  const PATH = pathWith({ 'g++': 'exit 1', 'clang++': 'exit 0' });
  const { compiler } = await findBuildTools(repository, { PATH });
  expect(compiler).toEqual({ cxx: 'clang++', cc: 'clang' });
});

test('CXX is taken with its options, and nothing else in its place', async () => {
  const PATH = pathWith({ launcher: 'test "$1" = c++ && test "$2" = -std=c++20', 'g++': 'exit 0' });
  expect((await foundWith({ PATH, CXX: 'launcher c++' }))['C++20 compiler']).toBe('launcher c++');
  expect((await foundWith({ PATH, CXX: 'nowhere' }))['C++20 compiler']).toBeUndefined();
});

test('a Python that is too old is none', async () => {
  const PATH = pathWith({ python3: 'echo 3.6.1; exit 1', python: 'echo 3.12.0' });
  expect((await foundWith({ PATH }))['Python 3']).toBe(`3.12.0 (${join(PATH, 'python')})`);
});

test.each([
  [['C++20 compiler', 'libsodium'], 'apt-get', 'sudo apt-get install -y g++ libsodium-dev'],
  [['libsodium'], 'dnf', 'sudo dnf install -y libsodium-devel libsodium-static'],
  [['C++20 compiler'], 'apk', 'apk add g++ linux-headers'],
  [['make', 'libsodium'], 'brew', 'xcode-select --install && brew install libsodium'],
  [['make'], 'pacman', undefined],
])('%j with %s: %s', (missing, manager, command) => {
  expect(packagesCommand(missing, (program) => program === manager)).toBe(command);
});

test("npm's own node-gyp goes before that of the registry", () => {
  const npm = join(folder, 'npm');
  const gyp = join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  for (const file of [gyp, join(npm, 'bin', 'npm-cli.js')]) {
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '');
  }
  const found = findNodeGyp({ npm_execpath: join(npm, 'bin', 'npm-cli.js') });
  expect(found).toMatchObject({ program: process.execPath, args: [gyp] });
});

test('headers count only when they are beside the executable', () => {
  const prefix = join(folder, 'prefix');
  const node = join(prefix, 'bin', 'node');
  expect(headersPrefix(node)).toBeUndefined();
  mkdirSync(join(prefix, 'include', 'node'), { recursive: true });
  writeFileSync(join(prefix, 'include', 'node', 'node_api.h'), '');
  expect(headersPrefix(node)).toBe(prefix);
});

test('a program is found in the folders of PATH, in their order, or by its path', () => {
  const [first, second] = [pathWith({ tool: '' }), pathWith({ tool: '', other: '' })];
  const env = { PATH: `${first}:${second}` };
  expect(findProgram('tool', env)).toBe(join(first, 'tool'));
  expect(findProgram('other', env)).toBe(join(second, 'other'));
  expect(findProgram(join(second, 'other'), { PATH: '' })).toBe(join(second, 'other'));
  expect(findProgram('none', env)).toBeUndefined();
});

test('in a clone it says what builds there', async () => {
  expect(await hawserHere('build')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'hawser build: this is a clone of the repository: "npm run setup" compiles its addon\n',
  });
});

test('--jobs is bounded', async () => {
  const { code, stderr } = await hawserHere('build', '--jobs', '0');
  expect(code).toBe(2);
  expect(stderr).toContain('--jobs: must be a whole number from 1 to 1024');
});
