// macOS: how old a system may be, which libraries the addon needs of it, and what it shows to others.

import { compareVersions } from './check-elf.mjs';
import { exportProblems, isOfNode, llvm, nodeImportProblems } from './symbols.mjs';
import { oldestMacos } from './targets.mjs';

const libraries = /^\/usr\/lib\/(libSystem\.B|libc\+\+\.1|libc\+\+abi)\.dylib$/;
/** In the line of the header: the name of the file, which is printed too, often has that of a processor in it. */
const architectures = { x64: /^ *MH_MAGIC_64 +X86_64 /m, arm64: /^ *MH_MAGIC_64 +ARM64 /m };

/** Apple's compilers put an underscore before every name of C. */
const withoutUnderscore = (/** @type {string} */ name) => name.replace(/^_/, '');

/**
 * @param {string} file
 * @param {import('./targets.mjs').Target} target
 * @returns {Promise<import('./check.mjs').Findings>}
 */
export async function checkMachO(file, target) {
  const [headers, exported, wanted] = await Promise.all([
    llvm('llvm-objdump', ['--macho', '--private-headers', file]),
    llvm('llvm-objdump', ['--macho', '--exports-trie', file]),
    llvm('llvm-nm', ['--undefined-only', '-m', file]),
  ]);
  const needed = [...headers.matchAll(/cmd LC_LOAD_(?:WEAK_)?DYLIB\s+cmdsize \d+\s+name (\S+)/g)].map(
    ([, name = '']) => name,
  );
  const minimum = /\bminos (\S+)|cmd LC_VERSION_MIN_MACOSX\s+cmdsize \d+\s+version (\S+)/.exec(headers);
  const oldest = minimum?.[1] ?? minimum?.[2];
  // What no library of the system has is looked up in the program that loads the addon.
  const ofProgram = [...wanted.matchAll(/external (\S+) \(dynamically looked up\)/g)].map(([, name = '']) =>
    withoutUnderscore(name),
  );
  const problems = [
    ...(architectures[target.arch].test(headers) ? [] : [`it is not for ${target.arch}`]),
    ...needed.filter((name) => !libraries.test(name)).map((name) => `it needs the library ${name}`),
    ...exportProblems(
      [...exported.matchAll(/^0x[0-9A-F]+ +(\S+)$/gm)].map(([, name = '']) => withoutUnderscore(name)),
    ),
    ...ofProgram.filter((name) => !isOfNode(name)).map((name) => `nobody has ${name}`),
    ...nodeImportProblems(ofProgram.filter(isOfNode)),
    ...ageProblems(oldest),
    // Processors of Apple run nothing that is not signed, if only by its own hash.
    ...(target.arch === 'x64' || /LC_CODE_SIGNATURE/.test(headers) ? [] : ['it is not signed']),
  ];
  return { problems, facts: [`macOS ${oldest ?? 'unknown'}`, `needs ${needed.join(' ')}`] };
}

/** @param {string | undefined} oldest */
function ageProblems(oldest) {
  if (oldest !== undefined && compareVersions(oldest, oldestMacos) <= 0) return [];
  return [
    `it needs macOS ${oldest ?? '(it does not say which)'}; ${oldestMacos} is the oldest that is served`,
  ];
}
