// What the checks of all kinds of files have in common: running a tool, and what the addon may need and offer.
import { run } from '../lib/process.mjs';
import { exportedFunctions, libuvFunctions, nodeApiFunctions } from './node-imports.mjs';
import { llvmTool } from './toolchain.mjs';

/**
 * @param {string} name of a tool of LLVM
 * @param {string[]} args
 * @returns {Promise<string>} what it prints
 * @throws {Error} when it is missing or fails
 */
export async function llvm(name, args) {
  const tool = llvmTool(name);
  if (tool === undefined) throw new Error(`${name} is missing; type: node scripts/setup.mjs --for prebuild`);
  const { code, output } = await run(tool, args);
  if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${output.trimEnd()}`);
  return output;
}

/** @param {string} output of llvm-nm with --just-symbol-name @returns {string[]} */
export function namesIn(output) {
  // Names of files, and that they have no symbols, are said between them.
  return output.split('\n').filter((line) => /^[\w.$@]+$/.test(line));
}

/** @param {readonly string[]} names what the file exports @returns {string[]} problems */
export function exportProblems(names) {
  const missing = exportedFunctions.filter((name) => !names.includes(name));
  const surplus = names.filter((name) => !exportedFunctions.includes(name));
  return [
    ...missing.map((name) => `it does not export ${name}`),
    ...surplus.map((name) => `it exports ${name}`),
  ];
}

/** Whether Node.js is to have a function of this name. */
export const isOfNode = (/** @type {string} */ name) => /^(napi|node_api|uv)_/.test(name);

/** @param {readonly string[]} names what the file wants of Node.js @returns {string[]} problems */
export function nodeImportProblems(names) {
  const offered = new Set([...nodeApiFunctions(), ...libuvFunctions()]);
  const unknown = names.filter((name) => !offered.has(name));
  return unknown.map((name) => `it needs ${name}, which is neither in Node-API 8 nor in libuv`);
}
