// The package as npm would publish it, and installs of it and of others.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, runNpm } from '../../scripts/lib/process.mjs';
import { collectAddonSource } from '../../scripts/prepack.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Nothing but the cache of npm, and nothing besides the packages: no audit, no scripts. */
const installArguments = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'];

/**
 * @typedef {object} Packed
 * @property {string} file the tarball
 * @property {number} bytes how long it is
 * @property {number} unpackedBytes what all of its files have
 * @property {readonly {path: string, size: number}[]} files in it
 */

/**
 * Packs a package.
 *
 * @param {string} folder for the tarball
 * @param {string} [from] the package; this one by default, as it is built in this tree
 * @returns {Promise<Packed>}
 */
export async function packPackage(folder, from = root) {
  // What npm's prepack does, for which scripts would have to run: theirs is printed among the JSON.
  if (from === root) collectAddonSource();
  const args = ['pack', '--json', '--ignore-scripts', '--silent', '--pack-destination', folder];
  const { code, output } = await runNpm(args, { cwd: from });
  if (code !== 0) throw new Error(`npm pack ended with exit code ${code}: ${output}`);
  const [{ filename, size, unpackedSize, files }] = JSON.parse(output.slice(output.indexOf('[')));
  return { file: join(folder, filename), bytes: size, unpackedBytes: unpackedSize, files };
}

/**
 * Installs a package into a project.
 *
 * @param {string} project a folder with a package.json
 * @param {string} what a tarball, or a name with a version
 * @param {'--offline' | '--prefer-offline'} cache whether all of it must be in the cache of npm
 * @returns {Promise<{seconds: number, failure: string | undefined}>}
 */
export async function installPackage(project, what, cache) {
  const { code, output, seconds } = await runNpm([...installArguments, cache, what], { cwd: project });
  return { seconds, failure: code === 0 ? undefined : `npm install ${what} failed: ${output}` };
}

/**
 * @param {string} project
 * @param {string} code of a module that uses what was installed
 * @returns {Promise<string | undefined>} why it did not end well
 */
export async function faultOf(project, code) {
  const { code: exit, output } = await run(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: project,
  });
  return exit === 0 ? undefined : output;
}

/**
 * @param {string} name of a rival
 * @returns {string} with the version that `bench/package.json` has
 */
export function rivalPackage(name) {
  const file = fileURLToPath(new URL('../package.json', import.meta.url));
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(file, 'utf8'));
  const version = { ...dependencies, ...optionalDependencies }[name];
  if (version === undefined) throw new Error(`${name} is not in bench/package.json`);
  return `${name}@${version}`;
}
