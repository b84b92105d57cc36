// clang-tidy with a memory, over several files at a time.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { buildRoot, configure } from './native.mjs';
import { eachParallel, jobs, nodeHeadersPrefix, root, run } from './process.mjs';
import { hashOf } from './stamp.mjs';

const database = join(buildRoot, 'lint');
const togetherFolder = join(database, 'together');

/** How many files are read as one: enough that the headers, which all of them read, are no longer most of it. */
const atATime = 10;

/** Folders of programs and fuzzers, which have an entry point each. */
const entryPoints = /^native\/(bench|fuzz|tools)\//;

/** What clang says when two files of a folder define the same name for themselves. */
const clash = 'error: redefinition of';

/** @typedef {{directory: string, command: string, file: string}} CompileCommand */

/** Every native file that a source file includes, itself first, by `#include "..."` from native/. */
function withIncludes(/** @type {string} */ file, /** @type {Set<string>} */ seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name = ''] of readFileSync(join(root, file), 'utf8').matchAll(
    /^\s*#\s*include\s+"([^"]+)"/gm,
  )) {
    const candidates = [join('native', name), normalize(join(file, '..', name))];
    const included = candidates.find((path) => existsSync(join(root, path)));
    if (included) withIncludes(included, seen);
  }
  return seen;
}

/**
 * What is read together: files of one folder that are compiled with the same flags.
 *
 * @param {string[]} files
 * @param {Map<string, CompileCommand>} commands by file
 * @returns {string[][]} the largest first, which take longest
 */
function groupsOf(files, commands) {
  /** @type {Map<string, string[]>} */
  const alike = new Map();
  for (const file of files) {
    const { command = '' } = commands.get(file) ?? {};
    const flags = command.replaceAll(join(root, file), '').replace(/-o \S+/, '');
    const key = entryPoints.test(file) ? file : JSON.stringify([file.split('/')[1], flags]);
    alike.set(key, [...(alike.get(key) ?? []), file]);
  }
  return [...alike.values()]
    .flatMap((group) => {
      const parts = Math.ceil(group.length / atATime);
      const size = Math.ceil(group.length / parts);
      return Array.from({ length: parts }, (_, index) => group.slice(index * size, (index + 1) * size));
    })
    .sort((a, b) => b.length - a.length);
}

/**
 * Writes the text of several files into one, each under its own name, with how it is compiled. Text and no `#include`:
 * some checks look at the main file only.
 *
 * @returns {string} the file
 */
function joined(
  /** @type {string[]} */ files,
  /** @type {CompileCommand} */ like,
  /** @type {string} */ name,
) {
  const folder = join(togetherFolder, name);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'together.cpp');
  // A definition between two files lets the second include what the first has included.
  const texts = files.map((each, index) => {
    const text = readFileSync(join(root, each), 'utf8');
    return `#define HAWSER_TOGETHER_${index}\n#line 1 "${join(root, each)}"\n${text}\n`;
  });
  writeFileSync(file, texts.join(''));
  const command = { ...like, command: like.command.replaceAll(like.file, file), file };
  writeFileSync(join(folder, 'compile_commands.json'), JSON.stringify([command]));
  return file;
}

/**
 * clang-tidy over every native file but the tests (each would parse doctest again, which is most of what it would
 * read), each again only when it, what it includes or the rules have changed. What is found in files read together is
 * looked for again in each of them, so that it is told of the file that it is in.
 *
 * @param {import('./process.mjs').RunOptions} [options]
 * @returns {Promise<{code: number, output: string, files: number, checked: number}>} output holds only findings
 */
export async function clangTidy(options = {}) {
  const prefix = nodeHeadersPrefix();
  const definitions = prefix === undefined ? [] : [`NODE_INCLUDE_DIR=${join(prefix, 'include', 'node')}`];
  const configured = await configure('lint', definitions, options);
  if (configured.code !== 0) return { ...configured, files: 0, checked: 0 };
  /** @type {CompileCommand[]} */
  const all = JSON.parse(readFileSync(join(database, 'compile_commands.json'), 'utf8'));
  const commands = new Map(all.map((command) => [command.file.slice(root.length), command]));
  const files = [...commands.keys()]
    .filter((file) => !file.startsWith('native/test/') && !file.startsWith('build-cmake/'))
    .sort();
  const version = (await run('clang-tidy', ['--version'])).output;
  const memoryFile = join(buildRoot, 'clang-tidy.json');
  /** @type {Record<string, string>} */
  const memory = existsSync(memoryFile) ? JSON.parse(readFileSync(memoryFile, 'utf8')) : {};
  const keyOf = (/** @type {string} */ file) =>
    hashOf([...withIncludes(file), '.clang-tidy', 'CMakeLists.txt'], [version]);
  const stale = files.filter((file) => memory[file] !== keyOf(file));
  let output = '';
  let code = 0;
  /** @param {string[]} group @param {string} file what is read for it @param {string} folder of its command */
  const check = async (group, file, folder) => {
    const keys = group.map((each) => [each, keyOf(each)]);
    const result = await run('clang-tidy', ['--quiet', '-p', folder, file], options);
    if (result.code === 0) {
      Object.assign(memory, Object.fromEntries(keys));
      writeFileSync(memoryFile, JSON.stringify(memory));
    }
    return result;
  };
  await eachParallel([...groupsOf(stale, commands).entries()], jobs, async ([index, group]) => {
    const like = commands.get(group[0] ?? '');
    if (group.length > 1 && like !== undefined) {
      const file = joined(group, like, String(index));
      const result = await check(group, file, join(togetherFolder, String(index)));
      if (result.code === 0) return;
      if (result.output.includes(clash)) {
        // The native build of the tests and the prebuilt addons would not compile.
        code = 1;
        output += result.output;
        return;
      }
    }
    for (const file of group) {
      const result = await check([file], join(root, file), database);
      if (result.code === 0) continue;
      code = 1;
      output += result.output.replace(/^\d+ warnings?.*generated.*\n/gm, '');
    }
  });
  return { code, output, files: files.length, checked: stale.length };
}
