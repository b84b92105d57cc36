// Windows: which libraries the addon needs, whether Node.js has what it wants of it, and what it shows to others.
import { readFileSync } from 'node:fs';
import { exportedFunctions } from './node-imports.mjs';
import { exportProblems, llvm, nodeImportProblems } from './symbols.mjs';

/** Parts of every Windows since 10; the C++ library and the one for threads are inside the addon, and node.exe may be renamed. */
const libraries = new Set(['kernel32.dll', 'ws2_32.dll', 'advapi32.dll', 'msvcrt.dll', 'user32.dll']);

/**
 * @param {string} file
 * @param {import('./targets.mjs').Target} target
 * @returns {Promise<import('./check.mjs').Findings>}
 */
export async function checkPe(file, target) {
  const output = await llvm('llvm-readobj', [
    '--file-headers',
    '--coff-imports',
    '--coff-exports',
    '--sections',
    file,
  ]);
  const needed = [...output.matchAll(/^Import \{\n {2}Name: (\S+)/gm)].map(([, name = '']) => name);
  const exported = [...output.matchAll(/^Export \{\n[\s\S]*?^ {2}Name: (\S*)/gm)].map(
    ([, name = '']) => name,
  );
  const problems = [
    ...(target.arch === 'x64' && /IMAGE_FILE_MACHINE_AMD64/.test(output)
      ? []
      : [`it is not for ${target.arch}`]),
    ...needed
      .filter((name) => !libraries.has(name.toLowerCase()))
      .map((name) => `it needs the library ${name}`),
    ...exportProblems(exported),
    ...nodeImportProblems(namesOfNode(readFileSync(file, 'latin1'))),
    ...(/IMAGE_DLL_CHARACTERISTICS_DYNAMIC_BASE/.test(output)
      ? []
      : ['it is always loaded to the same address']),
    ...(/IMAGE_DLL_CHARACTERISTICS_NX_COMPAT/.test(output) ? [] : ['its stack may be executed']),
  ];
  return { problems, facts: [`needs ${needed.join(' ')}`] };
}

/**
 * What is looked up in the program that has loaded the addon, when it is first called: the names stand in the file, but
 * not in a table that the tools print.
 *
 * @param {string} text
 */
function namesOfNode(text) {
  const names = [...(text.match(/(?<=\0)(napi|node_api|uv)_[a-z0-9_]+(?=\0)/g) ?? [])];
  return names.filter((name) => !exportedFunctions.includes(name));
}
