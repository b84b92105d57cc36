// The previous release as its users have it: packed, and installed into a folder of its own under build/previous.
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { root, run, runNpm } from '../lib/process.mjs';

/**
 * Which release is the previous one: test/release/previous.json.
 *
 * @typedef {object} Previous
 * @property {string} version
 * @property {string} commit of which it was made
 * @property {string} [integrity] of its tarball in the registry, `sha512-...`; left out where it was not published
 */

/** @returns {Previous} */
export function previousRelease() {
  return JSON.parse(readFileSync(join(root, 'test/release/previous.json'), 'utf8'));
}

/** @param {string} title @param {Promise<import('../lib/process.mjs').Outcome>} work */
async function must(title, work) {
  const { code, output, seconds } = await work;
  if (code !== 0) throw new Error(`${title} failed\n${output.trimEnd()}`);
  console.log(`${title}: ${seconds.toFixed(1)} s`);
  return output;
}

/** @param {string} folder @returns {string} the one tarball in it */
function tarballIn(folder) {
  const [name] = readdirSync(folder).filter((each) => each.endsWith('.tgz'));
  if (name === undefined) throw new Error(`npm pack left no tarball in ${folder}`);
  return join(folder, name);
}

/**
 * @param {Uint8Array} tarball
 * @param {string} integrity
 * @returns {boolean} whether these are the bytes that were published: anybody can publish a name that is free
 */
export function isIntact(tarball, integrity) {
  return integrity === `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
}

/** @param {string} folder @param {string} version @param {string} integrity @returns {Promise<string>} the tarball */
async function fromRegistry(folder, version, integrity) {
  await must('npm pack', runNpm(['pack', `hawser@${version}`, '--pack-destination', folder]));
  const tarball = tarballIn(folder);
  if (!isIntact(readFileSync(tarball), integrity)) {
    throw new Error(`hawser@${version} in the registry is not what test/release/previous.json says`);
  }
  return tarball;
}

/**
 * Builds it as its own scripts do.
 *
 * @param {string} folder @param {string} commit
 * @returns {Promise<{tarball: string, addon: string}>} with the addon for this machine, which a tarball of a commit has not
 */
async function fromCommit(folder, commit) {
  const present = await run('git', ['cat-file', '-e', `${commit}^{commit}`]);
  if (present.code !== 0) {
    throw new Error(`this clone has no commit ${commit}: fetch all of the history (git fetch --unshallow)`);
  }
  const source = join(folder, 'source');
  mkdirSync(source);
  const archive = join(folder, 'source.tar');
  await must('git archive', run('git', ['archive', '--format=tar', '--output', archive, commit]));
  await must('tar', run('tar', ['-xf', archive, '-C', source]));
  await must('its build', run('node', ['scripts/setup.mjs', '--for', 'start'], { cwd: source }));
  await must('npm pack', runNpm(['pack', '--pack-destination', folder], { cwd: source }));
  return { tarball: tarballIn(folder), addon: join(source, 'build/Release/hawser.node') };
}

/**
 * Fetches or builds the previous release, unless an earlier call did.
 *
 * @returns {Promise<string>} the folder of the installed package
 * @throws Error when it cannot be had, with the reason
 */
export async function obtainPrevious() {
  const { version, commit, integrity } = previousRelease();
  const target = join(root, 'build/previous', `${version}-${commit.slice(0, 12)}`);
  const installed = join('node_modules', 'hawser');
  if (existsSync(target)) return join(target, installed);
  const folder = `${target}.part`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { tarball, addon } = integrity
    ? { tarball: await fromRegistry(folder, version, integrity), addon: undefined }
    : await fromCommit(folder, commit);
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund'];
  const wanted = [tarball, `lmdb@${devDependencies.lmdb}`];
  await must('npm install', runNpm(['install', ...flags, ...wanted], { cwd: folder }));
  if (addon) cpSync(addon, join(folder, installed, 'build/Release/hawser.node'));
  rmSync(join(folder, 'source'), { recursive: true, force: true });
  rmSync(join(folder, 'source.tar'), { force: true });
  // Only what is complete has that name.
  renameSync(folder, target);
  return join(target, installed);
}
