// scripts/prebuild.mjs: what is compiled with what, under which name it is looked for, and what the command says.

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { sourcesFor } from '../../scripts/native-sources.mjs';
import { definitions, unitsOf, windowsDefinitions } from '../../scripts/prebuild/compile.mjs';
import { libuvFunctions, nodeApiFunctions } from '../../scripts/prebuild/node-imports.mjs';
import { chooseTargets, targets } from '../../scripts/prebuild/targets.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'scripts', 'prebuild.mjs');

/** The words between quotes of every list in binding.gyp that follows a name. */
function gypLists(name: string): string[][] {
  const text = readFileSync(join(root, 'binding.gyp'), 'utf8').replaceAll(/#.*$/gm, '');
  const lists = text.matchAll(new RegExp(`"${name}": \\[([^\\]]*)\\]`, 'g'));
  return [...lists].map(([, list]) =>
    [...(list ?? '').matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) => word ?? ''),
  );
}

test('the definitions are those of binding.gyp', () => {
  const [everywhere, windows] = gypLists('defines');
  expect(definitions).toEqual(everywhere?.filter((name) => !name.startsWith('HAWSER_VERSION')));
  expect(windowsDefinitions).toEqual(windows);
});

test.each(targets)('$name is compiled from what binding.gyp lists for it', (target) => {
  const os = { linux: 'linux', darwin: 'mac', win32: 'win' }[target.platform];
  const units = unitsOf(target);
  expect(units.flatMap(({ files }) => files).sort()).toEqual(sourcesFor(os).sort());
  for (const { layer, files } of units) {
    expect(files.every((file) => file.startsWith(`native/${layer}/`))).toBe(true);
  }
});

test('the files of a system are compiled for no other', () => {
  const endings = (os: string) =>
    new Set(sourcesFor(os).map((file) => /_(linux|bsd|windows|posix)\.cpp$/.exec(file)?.[1] ?? ''));
  expect(endings('linux')).toEqual(new Set(['', 'linux', 'posix']));
  expect(endings('mac')).toEqual(new Set(['', 'bsd', 'posix']));
  expect(endings('win')).toEqual(new Set(['', 'windows']));
});

test('node-gyp-build finds each of them by its name', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-prebuilds-'));
  try {
    for (const { file } of targets) {
      mkdirSync(dirname(join(folder, 'prebuilds', file)), { recursive: true });
      writeFileSync(join(folder, 'prebuilds', file), '');
    }
    const finder = createRequire(import.meta.url).resolve('node-gyp-build');
    // It reads the environment when it is loaded, and a process for each of them takes long on a machine that is busy.
    const program = `
      const [finder, folder, environments] = JSON.parse(process.argv[1]);
      const found = environments.map((environment) => {
        Object.assign(process.env, environment);
        for (const file of Object.keys(require.cache)) delete require.cache[file];
        return require(finder).resolve(folder);
      });
      process.stdout.write(JSON.stringify(found));
    `;
    const environments = targets.map(({ platform, arch, libc }) => ({
      npm_config_platform: platform,
      npm_config_arch: arch,
      LIBC: libc ?? '',
    }));
    const args = ['-e', program, JSON.stringify([finder, folder, environments])];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(JSON.parse(stdout)).toEqual(targets.map(({ file }) => join(folder, 'prebuilds', file)));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what the addon may need of Node.js is Node-API 8 and libuv', () => {
  expect(nodeApiFunctions()).toContain('napi_create_object');
  // Node-API 9.
  expect(nodeApiFunctions()).not.toContain('node_api_symbol_for');
  const functions = libuvFunctions();
  expect(functions).toContain('uv_poll_init_socket');
  expect(functions.size).toBeGreaterThan(200);
});

test('targets are chosen by name, in the order of the table', () => {
  expect(chooseTargets(undefined)).toBe(targets);
  expect(chooseTargets('win32-x64, linux-x64-musl').map(({ name }) => name)).toEqual([
    'linux-x64-musl',
    'win32-x64',
  ]);
  expect(() => chooseTargets('linux-x64')).toThrow(/^no target "linux-x64"; there are linux-x64-glibc, /);
});

/** Runs the command. */
async function prebuild(args: string[], env: NodeJS.ProcessEnv = process.env) {
  const ran = promisify(execFile)(process.execPath, [script, ...args], { env });
  return ran.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );
}

test('it says what it takes', async () => {
  const { code, stdout } = await prebuild(['--help']);
  expect(code).toBe(0);
  for (const { name } of targets) expect(stdout).toContain(name);
});

test.each([
  [['--only', 'linux-x86'], 'prebuild: no target "linux-x86"; there are '],
  [['--jobs', '0'], 'prebuild: --jobs 0: a number from 1 to 999'],
  [['--fast'], "prebuild: Unknown option '--fast'"],
])('a wrong command line ends with 2: %j', async (args, message) => {
  const { code, stderr } = await prebuild(args);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

test.skipIf(process.platform !== 'linux' || process.arch !== 'x64')(
  'without the tools it says which are missing, and what to type',
  async () => {
    const { code, stderr } = await prebuild(['--only', 'win32-x64,darwin-x64'], { PATH: '' });
    expect(code).toBe(1);
    const setUp = 'type: node scripts/setup.mjs --for prebuild';
    expect(stderr).toContain(`prebuild: missing: the compiler for Windows (mingw-w64); ${setUp}\n`);
    expect(stderr).toContain(`prebuild: missing: llvm-nm; ${setUp}\n`);
    expect(stderr).toMatch(/^prebuild: missing: the linker for macOS .*$/m);
  },
);
