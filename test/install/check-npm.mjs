// npm itself: what it installs, in which ways, and that nothing of it runs or compiles.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { addPrograms, expectOutput, makeProject, npm, packageIn, runAlone } from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/** Every package that an installation brought. @param {string} folder */
function packagesIn(folder) {
  const manifests = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => basename(file) === 'package.json')
    .map((file) => join(folder, file));
  return manifests.map((file) => ({ file, manifest: JSON.parse(readFileSync(file, 'utf8')) }));
}

/** @param {Context} context */
function nothingRuns({ installed }) {
  const folder = join(installed, 'node_modules');
  for (const { file, manifest } of packagesIn(folder)) {
    for (const script of ['preinstall', 'install', 'postinstall']) {
      assert.equal(manifest.scripts?.[script], undefined, `${file} has a script "${script}"`);
    }
  }
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const gypFiles = names.filter((file) => basename(file) === 'binding.gyp');
  assert.deepEqual(gypFiles, [], 'npm runs node-gyp where there is a binding.gyp');
}

/** What is installed, by relative path, without what npm keeps for itself. @param {string} project */
function installedFiles(project) {
  const files = readdirSync(join(project, 'node_modules'), { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file !== '.package-lock.json').sort();
}

/**
 * Another installation of what the first one locked, and that it is the same.
 *
 * @param {Context} context
 * @param {string} name
 * @param {string[]} args
 */
async function installsTheSame(context, name, args) {
  const project = join(context.folder, name);
  mkdirSync(project);
  for (const file of ['package.json', 'package-lock.json']) {
    cpSync(join(context.installed, file), join(project, file));
  }
  const outcome = await npm(context, project, ...args);
  assert.equal(outcome.code, 0, outcome.output);
  assert.deepEqual(installedFiles(project), installedFiles(context.installed));
  return project;
}

/** @param {Context} context */
async function worksInOddPath(context) {
  const project = await installsTheSame(context, 'my prøject 東京 %20', ['ci', '--ignore-scripts']);
  addPrograms(project, 'every-entry.mjs', 'exchange.mjs', 'worker.mjs');
  expectOutput(await runAlone('node', ['every-entry.mjs'], context, project), /^ok v/m);
  const { version } = JSON.parse(readFileSync(join(packageIn(project), 'package.json'), 'utf8'));
  expectOutput(await runAlone('npx', ['hawser', '--version'], context, project), `${version}\n`);
}

/** @param {Context} context */
async function doctorIsContent(context) {
  const outcome = await runAlone('npx', ['hawser', 'doctor', '--json'], context, context.installed);
  const { ok, checks } = JSON.parse(outcome.output);
  assert(ok, outcome.output);
  const addon = checks.find((/** @type {{name: string}} */ { name }) => name === 'addon');
  assert.match(addon.found, /, prebuilt: .*hawser.*\.node$/);
}

/** @param {Context} context */
async function installsWithoutScripts(context) {
  const project = join(context.folder, 'without-scripts');
  makeProject(project);
  const outcome = await npm(context, project, 'install', '--ignore-scripts', context.tarball);
  assert.equal(outcome.code, 0, outcome.output);
  assert.deepEqual(installedFiles(project), installedFiles(context.installed));
}

/** @param {Context} context */
function pathIsBare({ bin }) {
  assert.deepEqual(readdirSync(bin).sort(), ['node', 'npm', 'npx', 'sh']);
  for (const name of ['cc', 'g++', 'make', 'python3']) assert(!existsSync(join(bin, name)));
}

/** @type {{title: string, run: (context: Context) => unknown}[]} */
export const npmChecks = [
  { title: 'there is no compiler, make or Python in the PATH of these checks', run: pathIsBare },
  { title: 'no package of the tree has an install script or a binding.gyp', run: nothingRuns },
  {
    title:
      'npm ci --ignore-scripts in a path with spaces, letters beyond ASCII and a % installs the same, which works',
    run: worksInOddPath,
  },
  { title: 'npm ci installs the same', run: (context) => installsTheSame(context, 'ci', ['ci']) },
  { title: 'npm install --ignore-scripts installs the same', run: installsWithoutScripts },
  { title: 'npx hawser doctor is content, and names the prebuilt addon', run: doctorIsContent },
];
