// CMake builds: unit tests, fuzzers, benchmarks; the fuzz runs; clang-tidy with a memory.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { eachParallel, jobs, nodeHeadersPrefix, root, run, which } from './process.mjs';
import { hashOf } from './stamp.mjs';

const buildRoot = join(root, 'build-cmake');

/** Configures a preset of CMakePresets.json. @returns what `run` returns */
export function configure(preset, definitions = []) {
  const generator = which('ninja') && !existsSync(join(buildRoot, preset, 'Makefile')) ? ['-G', 'Ninja'] : [];
  return run('cmake', ['--preset', preset, ...generator, ...definitions.map((text) => `-D${text}`)]);
}

/**
 * Configures and builds a preset, or one target of it.
 *
 * @param {string} preset
 * @param {string} [target]
 * @returns what `run` returns, for the step that failed or the last
 */
export async function buildPreset(preset, target = 'all') {
  const configured = await configure(preset);
  if (configured.code !== 0) return configured;
  const args = ['--build', join(buildRoot, preset), '--parallel', String(jobs), '--target', target];
  return run('cmake', args);
}

/** @returns {string[]} the names of the fuzzers, one for each native/fuzz/*_fuzz.cpp */
export function fuzzTargets() {
  const folder = join(root, 'native', 'fuzz');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('_fuzz.cpp'))
    .map((name) => name.slice(0, -'.cpp'.length))
    .sort();
}

/**
 * Runs one fuzzer from its committed corpus (native/fuzz/corpus/<name without _fuzz>) and from what earlier runs found
 * (build-cmake/corpus). An input that breaks it is kept in build-cmake/crashes and named in the output.
 *
 * @param {string} target a name of fuzzTargets()
 * @param {number} seconds how long to run
 * @param {boolean} [show] pass its output on
 */
export function runFuzzer(target, seconds, show = false) {
  const corpus = target.slice(0, -'_fuzz'.length);
  const found = join(buildRoot, 'corpus', corpus);
  const crashes = join(buildRoot, 'crashes');
  mkdirSync(found, { recursive: true });
  mkdirSync(crashes, { recursive: true });
  const committed = join(root, 'native', 'fuzz', 'corpus', corpus);
  const folders = existsSync(committed) ? [found, committed] : [found];
  return run(
    join(buildRoot, 'fuzz', target),
    [
      `-max_total_time=${seconds}`,
      '-timeout=10',
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
      `-artifact_prefix=${crashes}/${corpus}-`,
      ...folders,
    ],
    { show },
  );
}

/** Every native file that a source file includes, itself first, by `#include "..."` from native/. */
function withIncludes(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name] of readFileSync(join(root, file), 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    const candidates = [join('native', name), normalize(join(file, '..', name))];
    const included = candidates.find((path) => existsSync(join(root, path)));
    if (included) withIncludes(included, seen);
  }
  return seen;
}

/**
 * clang-tidy over every native file but the tests (each would parse doctest again, which is most of what it would
 * read), each again only when it, what it includes or the rules have changed.
 *
 * @returns {Promise<{code: number, output: string, files: number, checked: number}>} output holds only findings
 */
export async function clangTidy() {
  const prefix = nodeHeadersPrefix();
  const definitions = prefix === undefined ? [] : [`NODE_INCLUDE_DIR=${join(prefix, 'include', 'node')}`];
  const configured = await configure('lint', definitions);
  if (configured.code !== 0) return { ...configured, files: 0, checked: 0 };
  const database = join(buildRoot, 'lint');
  const files = JSON.parse(readFileSync(join(database, 'compile_commands.json'), 'utf8'))
    .map(({ file }) => file.slice(root.length))
    .filter((file) => !file.startsWith('native/test/') && !file.startsWith('build-cmake/'))
    .sort();
  const version = (await run('clang-tidy', ['--version'])).output;
  const memoryFile = join(buildRoot, 'clang-tidy.json');
  const memory = existsSync(memoryFile) ? JSON.parse(readFileSync(memoryFile, 'utf8')) : {};
  const keyOf = (file) => hashOf([...withIncludes(file), '.clang-tidy', 'CMakeLists.txt'], [version]);
  const stale = files.filter((file) => memory[file] !== keyOf(file));
  let output = '';
  let code = 0;
  await eachParallel(stale, jobs, async (file) => {
    const key = keyOf(file);
    const result = await run('clang-tidy', ['--quiet', '-p', database, file]);
    if (result.code === 0) {
      memory[file] = key;
      writeFileSync(memoryFile, JSON.stringify(memory));
      return;
    }
    code = 1;
    output += result.output.replace(/^\d+ warnings?.*generated.*\n/gm, '');
  });
  return { code, output, files: files.length, checked: stale.length };
}
