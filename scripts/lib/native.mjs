// CMake builds: unit tests, fuzzers, benchmarks; the fuzz runs.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { jobs, root, run, which } from './process.mjs';

/** The folder that has one for each preset, and what the checks remember. */
export const buildRoot = join(root, 'build-cmake');

/**
 * Configures a preset of CMakePresets.json.
 *
 * @param {string} preset
 * @param {string[]} [definitions]
 * @param {import('./process.mjs').RunOptions} [options]
 * @returns what `run` returns
 */
export function configure(preset, definitions = [], options = {}) {
  const generator = which('ninja') && !existsSync(join(buildRoot, preset, 'Makefile')) ? ['-G', 'Ninja'] : [];
  return run('cmake', ['--preset', preset, ...generator, ...definitions.map((text) => `-D${text}`)], options);
}

/**
 * Configures and builds a preset, or one target of it.
 *
 * @param {string} preset
 * @param {string} [target]
 * @param {import('./process.mjs').RunOptions} [options]
 * @returns what `run` returns, for the step that failed or the last
 */
export async function buildPreset(preset, target = 'all', options = {}) {
  const configured = await configure(preset, [], options);
  if (configured.code !== 0) return configured;
  const args = ['--build', join(buildRoot, preset), '--parallel', String(jobs), '--target', target];
  return run('cmake', args, options);
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
 * @param {import('./process.mjs').RunOptions} [options]
 */
export function runFuzzer(target, seconds, options = {}) {
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
      // Of the wall clock: one that yields to others may have to wait for its turn.
      `-timeout=${options.yielding ? 60 : 10}`,
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
      `-artifact_prefix=${crashes}/${corpus}-`,
      ...folders,
    ],
    options,
  );
}
