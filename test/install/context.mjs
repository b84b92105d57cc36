// What the install test works with: the tarball, a PATH that holds nothing but Node.js, npm and a shell, and the versions
// of Node.js.
import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, run, runNpm, which } from '../../scripts/lib/process.mjs';
import { isCurrent } from '../../scripts/prebuild/make.mjs';
import { targets } from '../../scripts/prebuild/targets.mjs';
import { collectAddonSource } from '../../scripts/prepack.mjs';

/** @typedef {import('../../scripts/lib/process.mjs').Outcome} Outcome */

const nodesFolder = fileURLToPath(new URL('./nodes/node_modules/', import.meta.url));

/**
 * @typedef {object} Context
 * @property {string} folder everything is under it; removed at the end by who asked for it
 * @property {string} tarball
 * @property {string} addon what made the addon for this machine that is in it
 * @property {string} installed a project into which the tarball was installed by `npm install`; checks run side by side, so
 *   that none changes it: `copyInstalled` gives a check its own
 * @property {number} installSeconds how long that took
 * @property {string} bin the folder that is the whole PATH
 * @property {{major: number, path: string}[]} nodes executables, oldest first
 */

/** The majors of Node.js that the package is for; what is not there to run is skipped, with a word. */
export const majors = [20, 22, 24, 26];

/** @returns {{major: number, path: string}[]} */
export function findNodes() {
  const running = Number(process.versions.node.split('.')[0]);
  return majors.flatMap((major) => {
    const packaged = join(nodesFolder, `node-${major}`, 'bin', 'node');
    if (existsSync(packaged)) return [{ major, path: packaged }];
    return major === running ? [{ major, path: process.execPath }] : [];
  });
}

/**
 * Packs the package as npm would publish it, with an addon for this machine among its prebuilds, and installs it.
 *
 * @returns {Promise<Context>}
 */
export async function prepare() {
  // Under its real name: Node.js names files by it.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hawser-install-')));
  chmodSync(folder, 0o755);
  const bin = makeBin(folder);
  const { tarball, addon } = await pack(folder);
  const installed = join(folder, 'installed');
  const context = { folder, tarball, addon, bin, installed, installSeconds: 0, nodes: findNodes() };
  makeProject(installed);
  const outcome = await npm(context, installed, 'install', tarball);
  assert.equal(outcome.code, 0, outcome.output);
  return { ...context, installSeconds: outcome.seconds };
}

/**
 * The whole PATH: no compiler, no make, no Python. The shell is the one by which npm starts programs.
 *
 * @param {string} folder
 */
function makeBin(folder) {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const name of ['npm', 'npx', 'sh']) {
    const file = which(name);
    assert(file, `${name} is not in the PATH`);
    symlinkSync(realpathSync(file), join(bin, name));
  }
  symlinkSync(process.execPath, join(bin, 'node'));
  return bin;
}

/** @param {string} folder @returns {Promise<Pick<Context, 'tarball' | 'addon'>>} */
async function pack(folder) {
  const staging = join(folder, 'staging');
  mkdirSync(staging);
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  collectAddonSource(join(staging, 'addon-source'));
  const wanted = [...files, 'package.json', 'README.md', 'LICENSE'];
  for (const name of wanted) {
    const from = join(root, name);
    if (name.startsWith('!') || name === 'addon-source' || !existsSync(from)) continue;
    cpSync(from, join(staging, name), { recursive: true });
  }
  const addon = await addPrebuild(staging);
  const args = ['pack', '--json', '--ignore-scripts', '--silent', '--pack-destination', folder];
  const { code, output } = await runNpm(args, { cwd: staging });
  assert.equal(code, 0, output);
  const [{ filename }] = JSON.parse(output.slice(output.indexOf('[')));
  return { tarball: join(folder, filename), addon };
}

/**
 * Where `npm run prebuild` has not made one for this machine, or has made it of other sources than there are now, what
 * setup compiled takes its place: it needs more of the machine, and everything else of the package is the same.
 *
 * @param {string} staging
 * @returns {Promise<string>} which of them it is
 */
async function addPrebuild(staging) {
  const file = join(staging, prebuildName());
  const isThere = existsSync(file);
  if (isThere && !(await isOutdated())) return 'made by npm run prebuild';
  cpSync(join(root, 'build', 'Release', 'hawser.node'), file);
  const why = isThere ? 'npm run prebuild would make another one than is there' : 'there is no prebuild';
  return `compiled by setup; ${why}`;
}

/** Whether the prebuild for this machine is known to be made of something else than what is here now. */
async function isOutdated() {
  const target = targets.find(({ file }) => join('prebuilds', file) === prebuildName());
  try {
    return target === undefined || !(await isCurrent(target));
  } catch {
    // It was made elsewhere: what makes them is not installed here.
    return false;
  }
}

/** An empty project. @param {string} folder */
export function makeProject(folder) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
}

/** Where the package is in a project. @param {string} project */
export function packageIn(project) {
  return join(project, 'node_modules', 'hawser');
}

/** The name of the prebuild that a process here loads, from the root of the package. */
export function prebuildName() {
  const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc';
  const file = process.platform === 'linux' ? `hawser.${libc}.node` : 'hawser.node';
  return join('prebuilds', `${process.platform}-${process.arch}`, file);
}

/**
 * Makes a project that is a copy of the installed one, for a check that adds or removes files.
 *
 * @param {Context} context
 * @param {string} name of its folder; no other check has the same
 * @param {string[]} programs of consumer/
 * @returns {string} the folder
 */
export function copyInstalled({ installed, folder }, name, ...programs) {
  const project = join(folder, name);
  makeProject(project);
  cpSync(join(installed, 'node_modules'), join(project, 'node_modules'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  addPrograms(project, ...programs);
  return project;
}

/** Puts programs of consumer/ into a project. @param {string} project @param {string[]} names */
export function addPrograms(project, ...names) {
  for (const name of names) {
    cpSync(fileURLToPath(new URL(`./consumer/${name}`, import.meta.url)), join(project, basename(name)));
  }
}

/**
 * Nothing of the project's own scripts, and nothing of the npm that started this, may be seen.
 *
 * @param {string} bin the PATH
 * @returns {Record<string, string>}
 */
export function cleanEnvironment(bin) {
  /** @type {Record<string, string>} */
  const kept = {};
  for (const [name, value = ''] of Object.entries(process.env)) {
    if (!/^(npm_|HAWSER_|NODE_|PATH$)/i.test(name)) kept[name] = value;
  }
  // Nor warnings about settings of this machine's user.
  const quiet = { npm_config_loglevel: 'error', npm_config_update_notifier: 'false' };
  return { ...kept, ...quiet, PATH: bin, npm_config_script_shell: '/bin/sh' };
}

/**
 * Runs npm with nothing else in its PATH.
 *
 * @param {Pick<Context, 'bin'>} context
 * @param {string} project
 * @param {string[]} args
 * @returns {Promise<Outcome>}
 */
export function npm(context, project, ...args) {
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
  return runAlone('npm', [...args, ...quiet], context, project);
}

/**
 * Runs a program with that PATH.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {Pick<Context, 'bin'>} context
 * @param {string} cwd
 * @param {Record<string, string>} [env] besides
 * @returns {Promise<Outcome>}
 */
export function runAlone(program, args, { bin }, cwd, env = {}) {
  // `env -i` leaves nothing of this process's environment.
  const all = Object.entries({ ...cleanEnvironment(bin), ...env }).map(([name, value]) => `${name}=${value}`);
  const path = program.includes('/') ? program : join(bin, program);
  return run('/usr/bin/env', ['-i', ...all, path, ...args], { cwd });
}

/**
 * Fails with what a program printed unless it ended well and printed that.
 *
 * @param {Outcome} outcome
 * @param {string | RegExp} expected
 */
export function expectOutput(outcome, expected) {
  assert.equal(outcome.code, 0, outcome.output);
  if (expected instanceof RegExp) assert.match(outcome.output, expected);
  else assert.equal(outcome.output, expected);
}
