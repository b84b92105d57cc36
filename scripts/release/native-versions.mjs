// The versions of what is linked into the prebuilt addons, as this machine, which links them, has them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lib/process.mjs';
import { fetchedLibsodiumVersion } from '../prebuild/libsodium-source.mjs';
import { oldestGlibc, targets } from '../prebuild/targets.mjs';
import { toolsFor, zigLibraries, zigVersion } from '../prebuild/toolchain.mjs';

/** The libsodium that prebuilds are made of, or else the one that is installed. */
async function libsodium() {
  const fetched = fetchedLibsodiumVersion();
  if (fetched !== undefined) return fetched;
  const { code, output } = await run('pkg-config', ['--modversion', 'libsodium']);
  return code === 0 ? output.trim() : undefined;
}

/** LLVM's libraries come with zig, all of one release. */
function llvm() {
  const header = join(zigLibraries, 'libcxx', 'include', '__config');
  if (!existsSync(header)) return undefined;
  const number = Number(/define _LIBCPP_VERSION (\d{6})/.exec(readFileSync(header, 'utf8'))?.[1]);
  if (!Number.isInteger(number)) return undefined;
  return [number / 10_000, (number / 100) % 100, number % 100].map(Math.floor).join('.');
}

/** @param {string[]} args @returns {Promise<string>} what the compiler for Windows says; nothing when there is none */
async function compilerForWindows(args) {
  const [cc = ''] = targets.filter(({ platform }) => platform === 'win32').flatMap((one) => toolsFor(one).cc);
  if (cc === '') return '';
  const { code, output } = await run(cc, args);
  return code === 0 ? output : '';
}

async function mingw() {
  const defined = await compilerForWindows(['-E', '-dM', '-include', '_mingw.h', '-x', 'c', '/dev/null']);
  const numbers = ['MAJOR', 'MINOR', 'BUGFIX'].map(
    (part) => new RegExp(`define __MINGW64_VERSION_${part} (\\d+)`).exec(defined)?.[1],
  );
  return numbers.includes(undefined) ? undefined : numbers.join('.');
}

async function gcc() {
  // Debian's own name for the version has the kind of threads in it.
  const defined = await compilerForWindows(['-E', '-dM', '-x', 'c', '/dev/null']);
  return /define __VERSION__ "(\d+)/.exec(defined)?.[1];
}

/** @returns {Promise<Record<string, string>>} by the names of compiledIn(); what is not found here is not named */
export async function nativeVersions() {
  const [ofSodium, ofGcc, ofMingw] = await Promise.all([libsodium(), gcc(), mingw()]);
  const ofLlvm = llvm();
  /** @type {[string, string | undefined][]} */
  const found = Object.entries({
    libsodium: ofSodium,
    'libc++': ofLlvm,
    'libc++abi': ofLlvm,
    libunwind: ofLlvm,
    'zig-compiler-rt': zigVersion(),
    'glibc-nonshared': oldestGlibc,
    'libstdc++': ofGcc,
    libgcc: ofGcc,
    'mingw-w64': ofMingw,
    winpthreads: ofMingw,
  });
  /** @type {Record<string, string>} */
  const versions = {};
  for (const [name, version] of found) if (version !== undefined) versions[name] = version;
  return versions;
}
