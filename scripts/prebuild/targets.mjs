// The platforms that binaries are made for: one line for each file under prebuilds/.
import { join } from 'node:path';
import { root } from '../lib/process.mjs';

/**
 * @typedef {object} Target
 * @property {string} name what `--only` says
 * @property {'linux' | 'darwin' | 'win32'} platform process.platform there
 * @property {'x64' | 'arm64'} arch process.arch there
 * @property {'glibc' | 'musl' | undefined} libc of Linux
 * @property {'zig' | 'mingw'} compiler
 * @property {string} triple what the compiler calls it; of glibc and macOS with the oldest version that is served
 * @property {string} file under prebuilds/, named as node-gyp-build looks for it
 */

/** glibc 2.28 is what the oldest supported Node.js itself needs, and macOS 11 the first for arm64. */
export const oldestGlibc = '2.28';
export const oldestMacos = '11.0';

/** @type {readonly Target[]} */
export const targets = [
  linux('x64', 'glibc', `x86_64-linux-gnu.${oldestGlibc}`),
  linux('x64', 'musl', 'x86_64-linux-musl'),
  linux('arm64', 'glibc', `aarch64-linux-gnu.${oldestGlibc}`),
  linux('arm64', 'musl', 'aarch64-linux-musl'),
  other('darwin', 'x64', 'zig', `x86_64-macos.${oldestMacos}`),
  other('darwin', 'arm64', 'zig', `aarch64-macos.${oldestMacos}`),
  other('win32', 'x64', 'mingw', 'x86_64-w64-mingw32'),
];

/** @param {Target['arch']} arch @param {'glibc' | 'musl'} libc @param {string} triple @returns {Target} */
function linux(arch, libc, triple) {
  const file = `linux-${arch}/hawser.${libc}.node`;
  return { name: `linux-${arch}-${libc}`, platform: 'linux', arch, libc, compiler: 'zig', triple, file };
}

/**
 * @param {'darwin' | 'win32'} platform
 * @param {Target['arch']} arch
 * @param {Target['compiler']} compiler
 * @param {string} triple
 * @returns {Target}
 */
function other(platform, arch, compiler, triple) {
  const name = `${platform}-${arch}`;
  return { name, platform, arch, libc: undefined, compiler, triple, file: `${name}/hawser.node` };
}

/** @param {Target} target @returns {string} where its binary is, or will be */
export function prebuildFile(target) {
  return join(root, 'prebuilds', target.file);
}

/**
 * @param {string | undefined} names comma-separated; all targets when not given
 * @returns {readonly Target[]} in the order of the table
 * @throws {Error} for a name that is none of them
 */
export function chooseTargets(names) {
  if (names === undefined) return targets;
  const wanted = names.split(',').map((name) => name.trim());
  const unknown = wanted.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0) {
    const known = targets.map(({ name }) => name).join(', ');
    throw new Error(
      `no target ${unknown.map((name) => JSON.stringify(name)).join(', ')}; there are ${known}`,
    );
  }
  return targets.filter(({ name }) => wanted.includes(name));
}
