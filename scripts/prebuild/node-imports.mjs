// What the addon and Node.js have of each other.
//
// Windows wants to know, when it links, which file each function comes from. These come from the program that loads
// the addon: node.exe, or whatever Node.js is called there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { root, run } from '../lib/process.mjs';
import { llvmTool, nodeHeaders } from './toolchain.mjs';

// By another name, so that nobody looks for types that the package does not have.
const load = createRequire(import.meta.url);

/** What Node.js looks for in an addon. Everything else stays inside. */
export const exportedFunctions = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** What Node-API 8, which the addon says it needs, offers on every version of Node.js that is supported. */
export function nodeApiFunctions() {
  /** @type {{symbols: {v8: {js_native_api_symbols: string[], node_api_symbols: string[]}}}} */
  const { symbols } = load('node-api-headers');
  const { js_native_api_symbols: language, node_api_symbols: node } = symbols.v8;
  // Not listed: the function that the addon defines.
  return new Set([...language, ...node]);
}

/**
 * The headers to read names from: those that prebuilds are made with, or else of another Node.js that is at hand, so
 * that files can be checked where none are made.
 */
function headerFolders() {
  const major = process.versions.node.split('.')[0];
  const ofTests = join(root, 'test', 'install', 'nodes', 'node_modules');
  const ofThis = join(dirname(dirname(process.execPath)), 'include', 'node');
  const fetched = join(homedir(), '.cache', 'node-gyp', process.versions.node, 'include', 'node');
  const packaged = ['20', major].map((version) => join(ofTests, `node-${version}`, 'include', 'node'));
  return [nodeHeaders, ...packaged, ofThis, fetched];
}

/** What Node.js exports of libuv. */
export function libuvFunctions() {
  const headers = headerFolders().map((folder) => join(folder, 'uv.h'));
  const file = headers.find((candidate) => existsSync(candidate));
  if (file === undefined) throw new Error('no header of libuv; type: node scripts/setup.mjs --for prebuild');
  const header = readFileSync(file, 'utf8');
  return new Set([...header.matchAll(/^UV_EXTERN[^;(]*?\b(uv_\w+)\s*\(/gm)].map(([, name = '']) => name));
}

/**
 * Makes the library that the addon is linked with for what it needs of Node.js.
 *
 * @param {import('./targets.mjs').Target} target
 * @param {string[]} objects what needs them; archives too
 * @param {string} folder for what is made
 * @returns {Promise<string>} what to link
 * @throws {Error} when a needed function is none of Node-API 8 and libuv
 */
export async function makeNodeImports(target, objects, folder) {
  const { code, output } = await run(llvmTool('llvm-nm') ?? 'llvm-nm', [
    '--undefined-only',
    '--just-symbol-name',
    ...objects,
  ]);
  if (code !== 0) throw new Error(`${target.name}: llvm-nm: ${output.trimEnd()}`);
  const wanted = output.split('\n').filter((name) => /^(napi|node_api|uv)_/.test(name));
  const offered = new Set([...nodeApiFunctions(), ...libuvFunctions()]);
  const needed = [...new Set(wanted)].sort();
  const unknown = needed.filter((name) => !offered.has(name));
  if (unknown.length > 0) {
    throw new Error(`${target.name}: neither in Node-API 8 nor in libuv: ${unknown.join(', ')}`);
  }
  const definition = join(folder, 'node.def');
  writeFileSync(definition, `NAME node.exe\nEXPORTS\n${needed.join('\n')}\n`);
  const library = join(folder, 'libnode.a');
  const made = await run('x86_64-w64-mingw32-dlltool', ['-d', definition, '--output-delaylib', library]);
  if (made.code !== 0) throw new Error(`${target.name}: dlltool: ${made.output.trimEnd()}`);
  return library;
}
