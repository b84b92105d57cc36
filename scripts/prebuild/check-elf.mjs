// Linux: how old a system may be, what it must have installed, and what the addon shows to other libraries.
import { exportProblems, isOfNode, llvm, namesIn, nodeImportProblems } from './symbols.mjs';
import { oldestGlibc } from './targets.mjs';

/** The C library's own parts; of musl it is one file with several names. */
const systemLibraries = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux-[\w-]+\.so\.[12])$/,
  musl: /^(libc\.so|libc\.musl-\w+\.so\.1)$/,
};

/** @param {string} a @param {string} b @returns {number} as Array.sort wants it, of two version numbers with dots */
export function compareVersions(a, b) {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * Of the names of symbol versions that a file needs, those that a system of the oldest kind does not have.
 *
 * @param {readonly string[]} versions
 * @param {string} libc
 */
function versionProblems(versions, libc) {
  return versions
    .filter((version) => {
      const [, library, number = ''] = /^([A-Z]+)_([\d.]+)$/.exec(version) ?? [];
      return !(libc === 'glibc' && library === 'GLIBC' && compareVersions(number, oldestGlibc) <= 0);
    })
    .map((version) => `it needs ${version}; GLIBC_${oldestGlibc} is what the oldest systems have`);
}

/**
 * @param {string} file
 * @param {import('./targets.mjs').Target} target
 * @returns {Promise<import('./check.mjs').Findings>}
 */
export async function checkElf(file, target) {
  const libc = target.libc ?? 'glibc';
  const [headers, dynamic, versions, exported, wanted] = await Promise.all([
    llvm('llvm-readelf', ['--file-header', '--section-headers', '--program-headers', file]),
    llvm('llvm-readelf', ['--dynamic-table', file]),
    llvm('llvm-readelf', ['--version-info', file]),
    llvm('llvm-nm', ['--dynamic', '--defined-only', '--just-symbol-name', file]),
    llvm('llvm-nm', ['--dynamic', '--undefined-only', '--just-symbol-name', file]),
  ]);
  const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name = '']) => name);
  const marks = [...new Set([...versions.matchAll(/Name: ([A-Z]+_[\d.]+)/g)].map(([, name = '']) => name))];
  const problems = [
    ...machineProblems(headers, target),
    ...versionProblems(marks, libc),
    ...needed
      .filter((name) => !systemLibraries[libc].test(name))
      .map((name) => `it needs the library ${name}`),
    ...exportProblems(namesIn(exported)),
    ...nodeImportProblems(namesIn(wanted).filter(isOfNode)),
    ...hardeningProblems(headers, dynamic),
  ];
  const newest = marks
    .filter((name) => name.startsWith('GLIBC_'))
    .map((name) => name.slice('GLIBC_'.length))
    .sort(compareVersions)
    .at(-1);
  return {
    problems,
    facts: [...(newest ? [`glibc ${newest}`] : []), `needs ${needed.join(' ') || 'nothing'}`],
  };
}

/** @param {string} headers @param {import('./targets.mjs').Target} target */
function machineProblems(headers, { arch }) {
  const names = { x64: /Machine:.*X86-64/, arm64: /Machine:.*AArch64/ };
  return names[arch].test(headers) ? [] : [`it is not for ${arch}`];
}

/** @param {string} headers @param {string} dynamic */
function hardeningProblems(headers, dynamic) {
  const problems = [];
  if (/\.(symtab|debug_\w+)\b/.test(headers)) problems.push('it is not stripped');
  if (!/GNU_RELRO/.test(headers) || !/BIND_NOW|\bNOW\b/.test(dynamic)) {
    problems.push('its table of functions stays writable');
  }
  if (!/GNU_STACK.*\bRW +0/.test(headers)) problems.push('its stack may be executed');
  if (/TEXTREL/.test(dynamic)) problems.push('its code is changed when it is loaded');
  if (/\((RPATH|RUNPATH)\)/.test(dynamic)) problems.push('it looks for libraries in a place of its own');
  return problems;
}
