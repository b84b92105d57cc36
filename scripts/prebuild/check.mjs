// What a binary must be before it is published, read out of the file itself by the tools of LLVM.
//
//   node scripts/prebuild/check.mjs [--only target,target]   checks what is in prebuilds/
//
// The checks of a kind of file are in check-elf.mjs, check-mach-o.mjs and check-pe.mjs.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from '../lib/process.mjs';
import { checkElf } from './check-elf.mjs';
import { checkMachO } from './check-mach-o.mjs';
import { checkPe } from './check-pe.mjs';
import { chooseTargets, prebuildFile } from './targets.mjs';

/** All seven and everything else are to be packed in less than 4 MiB. */
export const maxPrebuildBytes = 1024 * 1024;

/**
 * @typedef {object} Findings
 * @property {string[]} problems one line each; empty when the file may be published
 * @property {string[]} facts what was found out, for people
 */

const checkers = { linux: checkElf, darwin: checkMachO, win32: checkPe };

/**
 * @param {string} file
 * @param {import('./targets.mjs').Target} target what it is meant for
 * @returns {Promise<Findings>}
 */
export async function checkPrebuild(file, target) {
  if (!existsSync(file)) return { problems: [`there is no ${file}`], facts: [] };
  const { size } = statSync(file);
  const ofKind = await checkers[target.platform](file, target);
  const problems = [...sizeProblems(size), ...pathProblems(readFileSync(file)), ...ofKind.problems];
  return { problems, facts: [`${Math.round(size / 1024)} KiB`, ...ofKind.facts] };
}

/** @param {number} size */
function sizeProblems(size) {
  return size < maxPrebuildBytes
    ? []
    : [`it is ${size} bytes long; less than ${maxPrebuildBytes} is allowed`];
}

/**
 * Where the machine that it was made on keeps its files is nobody's concern, and makes every build another file.
 *
 * @param {Buffer} bytes
 */
function pathProblems(bytes) {
  const places = [root.replace(/[\\/]$/, ''), homedir(), tmpdir(), '/home/', '/root/', '/Users/', '/tmp/'];
  const found = new Set(places.filter((place) => place.length > 1 && bytes.includes(place)));
  return [...found].map((place) => `it holds a path of a machine: ${place}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  for (const target of chooseTargets(values.only)) {
    const { problems, facts } = await checkPrebuild(prebuildFile(target), target);
    console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${target.name}: ${facts.join(', ')}`);
    for (const problem of problems) console.log(`       ${problem}`);
    if (problems.length > 0) process.exitCode = 1;
  }
}
