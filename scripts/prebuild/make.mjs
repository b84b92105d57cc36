// Goes through the targets: what is current stays, the rest is compiled, checked and only then put into its place.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { root } from '../lib/process.mjs';
import { filesUnder, hashOf, Stamp } from '../lib/stamp.mjs';
import { checkPrebuild } from './check.mjs';
import { compileAddon } from './compile.mjs';
import { buildLibsodium } from './libsodium.mjs';
import { writeNotices } from './notices.mjs';
import { prebuildFile } from './targets.mjs';
import { compilerVersions, workFolder } from './toolchain.mjs';

/** @typedef {import('./targets.mjs').Target} Target */

/** A library that was not hidden is a thousand names. */
const maxProblemsShown = 10;

/** Of the scripts in this folder, those that only look at what has been made do not decide what it is. */
const isOfScripts = (/** @type {string} */ file) =>
  /^scripts\/prebuild\/[^/]+\.(mjs|c)$/.test(file) &&
  !/\/(check|check-[\w-]+|notices|symbols|try)\.mjs$/.test(file);

/** Everything that decides what comes out, but for the target. */
async function inputsHash() {
  const layers = ['base', 'crypto', 'wire', 'engine', 'io', 'binding'].map((layer) => `native/${layer}`);
  const files = [
    ...filesUnder(layers, (file) => /\.(cpp|hpp|h)$/.test(file)),
    ...filesUnder(['scripts/prebuild'], isOfScripts),
    'native/sources.json',
    'scripts/native-sources.mjs',
    'scripts/prebuild/toolchain/package-lock.json',
    'node_modules/node-addon-api/package.json',
  ];
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return hashOf(files, [version, await compilerVersions()]);
}

const messageOf = (/** @type {unknown} */ error) => (error instanceof Error ? error.message : String(error));

const sha256 = (/** @type {string} */ file) => createHash('sha256').update(readFileSync(file)).digest('hex');

/**
 * Whether the binary of a target is there, as it was made, from what there is now.
 *
 * @param {import('./targets.mjs').Target} target
 * @returns {Promise<boolean>}
 */
export async function isCurrent(target) {
  return isCurrentFor(target, await inputsHash());
}

const stampOf = (/** @type {Target} */ { name }) => new Stamp(`prebuild-${name}`);

/** @param {Target} target @param {string} inputs their hash */
function isCurrentFor(target, inputs) {
  const file = prebuildFile(target);
  return existsSync(file) && stampOf(target).matches(`${inputs} ${sha256(file)}`);
}

/**
 * @param {readonly import('./targets.mjs').Target[]} targets
 * @param {{jobs: number, force?: boolean}} options
 * @returns {Promise<number>} 0 when all are there and passed their checks, else 1; the other targets are made all the same
 */
export async function makePrebuilds(targets, { jobs, force = false }) {
  const inputs = await inputsHash();
  const failed = [];
  for (const [index, target] of targets.entries()) {
    const title = `[${index + 1}/${targets.length}] ${target.name}`;
    if (!force && isCurrentFor(target, inputs)) {
      console.log(`prebuild: ${title}: current`);
      continue;
    }
    const problems = await makeOne(target, title, jobs);
    if (problems.length === 0) {
      stampOf(target).write(`${inputs} ${sha256(prebuildFile(target))}`);
      continue;
    }
    failed.push(target.name);
    for (const problem of problems.slice(0, maxProblemsShown))
      console.error(`prebuild: ${title}: ${problem}`);
    if (problems.length > maxProblemsShown)
      console.error(`prebuild: ${title}: ${problems.length} problems in all`);
  }
  try {
    await writeNotices();
  } catch (error) {
    console.error(`prebuild: ${messageOf(error)}`);
    failed.push('notices');
  }
  if (failed.length > 0) console.error(`prebuild: failed: ${failed.join(', ')}`);
  return failed.length > 0 ? 1 : 0;
}

/**
 * @param {Target} target
 * @param {string} title
 * @param {number} jobs
 * @returns {Promise<string[]>} what went wrong; then nothing of this target is left in prebuilds/
 */
async function makeOne(target, title, jobs) {
  const file = prebuildFile(target);
  // Under its name and in another folder: a linker may write the name into the file.
  const made = join(workFolder, target.name, 'linked', basename(file));
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  try {
    rmSync(file, { force: true });
    rmSync(made, { force: true });
    console.log(`prebuild: ${title}: libsodium ...`);
    const sodium = await buildLibsodium(target, jobs);
    console.log(`prebuild: ${title}: libsodium ${sodium.version} (${seconds()}); the addon ...`);
    await compileAddon(target, sodium, made, jobs);
    const { problems, facts } = await checkPrebuild(made, target);
    if (problems.length > 0) return problems;
    mkdirSync(dirname(file), { recursive: true });
    renameSync(made, file);
    console.log(`prebuild: ${title}: ${facts.join(', ')}; done in ${seconds()}`);
    return [];
  } catch (error) {
    return [messageOf(error)];
  }
}
