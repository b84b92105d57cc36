// Compiles the addon for a target. The settings are those of binding.gyp (a test compares the two lists
// of definitions), the compilers are others.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { eachParallel, root, run } from '../lib/process.mjs';
import { sourcesFor } from '../native-sources.mjs';
import { linkers } from './link.mjs';
import { compileSupport } from './support.mjs';
import { nodeHeaders, toolsFor, workFolder } from './toolchain.mjs';

/** As binding.gyp has them; HAWSER_VERSION comes with the version of package.json. */
export const definitions = [
  'NAPI_VERSION=8',
  'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
  'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
];
export const windowsDefinitions = ['SODIUM_STATIC', 'NOMINMAX', 'WIN32_LEAN_AND_MEAN'];

/** Beyond this, only ciphers gain: the rest grows, and every prebuild is in every install. */
const optimisation = (/** @type {string} */ layer) => (layer === 'crypto' ? '-O3' : '-O2');

/**
 * No exception passes through the addon, and the tables that one would need are a tenth of the file. Windows wants them
 * of every function that calls another one.
 */
const withoutUnwinding = ['-fno-unwind-tables', '-fno-asynchronous-unwind-tables'];

/**
 * @typedef {object} Unit
 * @property {string} layer its folder under native/
 * @property {string[]} files
 */

/**
 * What is compiled together: the files of a folder, of which each would read the same headers again, which is most of
 * what compiling it costs. So a name that a file defines for itself is that of no other file of its folder.
 *
 * @param {import('./targets.mjs').Target} target
 * @returns {Unit[]}
 */
export function unitsOf(target) {
  /** @type {Map<string, Unit>} */
  const units = new Map();
  for (const file of sourcesFor(osName(target))) {
    const layer = file.split('/')[1] ?? '';
    const unit = units.get(layer) ?? { layer, files: [] };
    units.set(layer, unit);
    unit.files.push(file);
  }
  return [...units.values()];
}

/**
 * As gyp calls it, which reads the same list of sources.
 *
 * @param {import('./targets.mjs').Target} target
 */
const osName = ({ platform }) => ({ linux: 'linux', darwin: 'mac', win32: 'win' })[platform];

/** @param {import('./targets.mjs').Target} target @param {{includeDir: string}} sodium */
function compileFlags(target, sodium) {
  const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
  const defined = [...definitions, `HAWSER_VERSION=${version}`, 'NDEBUG'];
  if (target.platform === 'win32') defined.push(...windowsDefinitions, '_WIN32_WINNT=0x0A00');
  return [
    '-std=c++20',
    '-fno-exceptions',
    '-fno-rtti',
    '-fvisibility=hidden',
    '-fvisibility-inlines-hidden',
    '-ffunction-sections',
    '-fdata-sections',
    '-Wall',
    '-Wextra',
    '-Wno-unused-parameter',
    // No path of the machine that it was made on is in what is published.
    `-ffile-prefix-map=${root}=`,
    ...(target.platform === 'win32' ? [] : ['-fPIC', ...withoutUnwinding]),
    ...defined.map((name) => `-D${name}`),
    `-I${join(root, 'native')}`,
    `-isystem${join(root, 'node_modules', 'node-addon-api')}`,
    `-isystem${nodeHeaders}`,
    `-isystem${sodium.includeDir}`,
  ];
}

/**
 * @param {import('./targets.mjs').Target} target
 * @param {{includeDir: string, archive: string}} sodium
 * @param {string} output the file to make; nothing is left of it when this fails
 * @param {number} jobs how many compilers run at a time
 * @throws {Error} with what the compiler or the linker said
 */
export async function compileAddon(target, sodium, output, jobs) {
  const folder = join(workFolder, target.name, 'addon');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { cxx, env } = toolsFor(target);
  const [compiler, ...options] = cxx;
  const flags = compileFlags(target, sodium);
  /** @type {string[]} */
  const objects = [];
  /** @type {string[]} */
  const failures = [];
  await eachParallel(unitsOf(target), jobs, async ({ layer, files }) => {
    const source = join(folder, `${layer}.cpp`);
    writeFileSync(source, files.map((file) => `#include "${relativeToNative(file)}"\n`).join(''));
    const object = join(folder, `${layer}.o`);
    const args = [...options, optimisation(layer), ...flags, '-c', source, '-o', object];
    const { code, output: said } = await run(compiler, args, { env });
    if (code === 0) objects.push(object);
    else failures.push(said.trimEnd());
  });
  if (failures.length > 0) throw new Error(`${target.name}:\n${failures.join('\n')}`);
  if (target.compiler === 'zig') objects.push(await compileSupport(target, 'no_demangler.c', folder));
  mkdirSync(dirname(output), { recursive: true });
  await linkers[target.platform](target, [...objects.sort(), sodium.archive], output, folder);
  if (!existsSync(output)) throw new Error(`${target.name}: the linker made nothing`);
}

/** Files of native/ include each other from there. */
const relativeToNative = (/** @type {string} */ file) => file.slice('native/'.length);
