// Builds libsodium for a target as a static library whose symbols stay inside the addon.
//
// Its own configure takes longer than compiling it, once for each of seven targets. What it would find out is known
// here, since both compilers are: the definitions below are its answers for them.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eachParallel, run } from '../lib/process.mjs';
import { hashOf } from '../lib/stamp.mjs';
import { fetchLibsodium, libsodiumVersion } from './libsodium-source.mjs';
import { compilerVersions, toolsFor, workFolder } from './toolchain.mjs';

/** @typedef {import('./targets.mjs').Target} Target */

const everywhere = [
  'CONFIGURED',
  'NATIVE_LITTLE_ENDIAN',
  'CPU_UNALIGNED_ACCESS',
  'HAVE_TI_MODE',
  'HAVE_C_VARARRAYS',
  'HAVE_ATOMIC_OPS',
  'HAVE_INLINE_ASM',
  'TLS=_Thread_local',
  // Its functions are for the addon alone, and it does not wait for the system's entropy in a way of its own.
  'SODIUM_STATIC',
];

const posix = [
  'HAVE_ALLOCA_H',
  'HAVE_GETPID',
  'HAVE_MADVISE',
  'HAVE_MLOCK',
  'HAVE_MMAP',
  'HAVE_MPROTECT',
  'HAVE_NANOSLEEP',
  'HAVE_POSIX_MEMALIGN',
  'HAVE_PTHREAD',
  'HAVE_SYS_MMAN_H',
  'HAVE_SYS_RANDOM_H',
];

const x64 = [
  'HAVE_CPUID',
  'HAVE_RDRAND',
  'HAVE_MMINTRIN_H',
  'HAVE_EMMINTRIN_H',
  'HAVE_PMMINTRIN_H',
  'HAVE_TMMINTRIN_H',
  'HAVE_SMMINTRIN_H',
  'HAVE_AVXINTRIN_H',
  'HAVE_AVX2INTRIN_H',
  'HAVE_AVX512FINTRIN_H',
  'HAVE_WMMINTRIN_H',
];

const ofPlatform = {
  linux: [...posix, '_GNU_SOURCE', 'HAVE_GETRANDOM', 'HAVE_GETENTROPY', 'HAVE_EXPLICIT_BZERO'],
  darwin: [...posix, '_DARWIN_C_SOURCE', 'HAVE_GETENTROPY', 'HAVE_MEMSET_S', '__STDC_WANT_LIB_EXT1__'],
  win32: ['_WIN32_WINNT=0x0A00', 'HAVE_INTRIN_H'],
};

/**
 * Its assembly keeps to the calling convention of everything but Windows.
 *
 * @type {Partial<Record<Target['platform'], string>>}
 */
const assembly = { linux: '.hidden', darwin: '.private_extern' };

/** @param {Target} target */
function definitions({ platform, arch }) {
  const names = [...everywhere, ...ofPlatform[platform]];
  if (platform === 'linux') names.push('HAVE_WEAK_SYMBOLS');
  if (arch === 'x64') names.push(...x64);
  if (arch === 'x64' && platform in assembly) {
    names.push('HAVE_AMD64_ASM', 'HAVE_AVX_ASM', `ASM_HIDE_SYMBOL=${assembly[platform]}`);
  }
  return names.map((name) => `-D${name.includes('=') ? name : `${name}=1`}`);
}

/**
 * The instruction sets that a file is written for; libsodium asks the processor before it calls into one.
 *
 * @type {readonly (readonly [RegExp, readonly string[]])[]}
 */
const instructionSets = [
  [/randombytes_internal_random\.c$/, ['-mrdrnd']],
  [/aesni\.c$/, ['-msse2', '-mssse3', '-maes', '-mpclmul']],
  [/avx512f\.c$/, ['-msse2', '-mssse3', '-msse4.1', '-mavx', '-mavx2', '-mavx512f']],
  [/avx2\.c$/, ['-msse2', '-mssse3', '-msse4.1', '-mavx', '-mavx2']],
  [/sse41\.c$/, ['-msse2', '-mssse3', '-msse4.1']],
  [/ssse3\.c$/, ['-msse2', '-mssse3']],
];

/** @param {string} file @param {Target} target @returns {readonly string[]} */
function flagsFor(file, { arch }) {
  if (arch !== 'x64') return [];
  return instructionSets.find(([pattern]) => pattern.test(file))?.[1] ?? [];
}

/**
 * Every source there is: each is empty where the definitions leave it out.
 *
 * @param {string} folder
 * @param {Target} target
 */
function sourcesUnder(folder, { platform, arch }) {
  const hasAssembly = arch === 'x64' && platform in assembly;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.c') || (hasAssembly && name.endsWith('.S')))
    .sort();
}

/**
 * @param {import('./targets.mjs').Target} target
 * @param {number} jobs how many compilers run at a time
 * @returns {Promise<{includeDir: string, archive: string, version: string}>}
 * @throws {Error} with what the compiler said
 */
export async function buildLibsodium(target, jobs) {
  const source = await fetchLibsodium();
  const version = libsodiumVersion();
  const library = join(source, 'src', 'libsodium');
  const folder = join(workFolder, target.name, 'libsodium');
  const built = {
    includeDir: join(folder, 'include'),
    archive: join(folder, 'libsodium.a'),
    version,
  };
  const stampFile = join(folder, 'stamp');
  const stamp = hashOf(['scripts/prebuild/libsodium.mjs'], [version, target, await compilerVersions()]);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return built;
  rmSync(folder, { recursive: true, force: true });
  const objects = join(folder, 'objects');
  mkdirSync(objects, { recursive: true });
  cpSync(join(library, 'include'), built.includeDir, { recursive: true });
  // The release's own header for compilers that do not run its configure.
  cpSync(join(source, 'builds', 'msvc', 'version.h'), join(built.includeDir, 'sodium', 'version.h'));
  await compileSources(target, library, built.includeDir, objects, jobs);
  const { ar, env } = toolsFor(target);
  const files = readdirSync(objects).sort();
  const { code, output } = await run(ar[0], [...ar.slice(1), 'rcs', built.archive, ...files], {
    env,
    cwd: objects,
  });
  if (code !== 0) throw new Error(`libsodium for ${target.name}: ${output.trimEnd()}`);
  writeFileSync(stampFile, stamp);
  return built;
}

/**
 * @param {Target} target
 * @param {string} library the folder of its sources
 * @param {string} includeDir
 * @param {string} objects the folder to fill
 * @param {number} jobs
 */
async function compileSources(target, library, includeDir, objects, jobs) {
  const { cc, env } = toolsFor(target);
  const common = [
    '-O2',
    '-fvisibility=hidden',
    '-ffunction-sections',
    '-fdata-sections',
    '-fno-strict-aliasing',
    '-fno-strict-overflow',
    '-w',
    ...(target.platform === 'win32' ? [] : ['-fPIC', '-pthread']),
    ...definitions(target),
    `-I${join(includeDir, 'sodium')}`,
    `-I${includeDir}`,
  ];
  /** @type {string[]} */
  const failures = [];
  await eachParallel(sourcesUnder(library, target), jobs, async (name) => {
    const object = join(objects, `${name.replaceAll(/[\\/]/g, '-')}.o`);
    const args = [...cc.slice(1), ...common, ...flagsFor(name, target), '-c', name, '-o', object];
    const { code, output } = await run(cc[0], args, { env, cwd: library });
    if (code !== 0) failures.push(`${name}: ${output.trimEnd()}`);
  });
  if (failures.length > 0) throw new Error(`libsodium for ${target.name}:\n${failures.join('\n')}`);
}
