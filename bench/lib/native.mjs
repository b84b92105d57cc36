// The native programs of native/bench, which are built when they are first needed.
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { track } from './children.mjs';
import { RivalUnavailable } from './unavailable.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Where the preset `bench` of CMakePresets.json builds. */
const folder = join(root, 'build-cmake', 'bench');
/** Builds that are done or under way, by program. @type {Map<string, Promise<string>>} */
const builds = new Map();

/**
 * Runs a native program.
 *
 * @param {string} name of its source in native/bench, without the ending
 * @param {readonly (string | number)[]} args
 * @returns {Promise<unknown>} what it printed: JSON; rejects with the program's or the compiler's output when either fails
 */
export async function runNative(name, args) {
  return JSON.parse(await call(await builtNative(name), args.map(String)));
}

/**
 * Runs one of those that use system calls of Linux, for the limit of a row.
 *
 * @template T
 * @param {string} name
 * @param {readonly (string | number)[]} args
 * @param {import('../rows/row.mjs').Size} size
 * @returns {Promise<T>} rejects with RivalUnavailable elsewhere, and where it is only to be seen that the row runs
 */
export async function runLinux(name, args, size) {
  if (process.platform !== 'linux') throw new RivalUnavailable(`${name} uses system calls of Linux`);
  if (size === 'smoke') throw new RivalUnavailable(`${name} is built for measuring only`);
  // The programs and the rows agree on the types of results.
  return /** @type {T} */ (await runNative(name, args));
}

/**
 * Builds a native program, for rows in which nothing else may go on meanwhile.
 *
 * @param {string} name as above
 * @returns {Promise<string>} its file
 */
export function builtNative(name) {
  const built = builds.get(name) ?? build(name);
  builds.set(name, built);
  return built;
}

/**
 * @param {string} name
 * @returns {Promise<string>} its file
 */
async function build(name) {
  await call('cmake', ['--preset', 'bench']);
  const jobs = String(availableParallelism());
  await call('cmake', ['--build', folder, '--target', `bench_${name}`, '--parallel', jobs]);
  return join(folder, `bench_${name}`);
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string>} its standard output; rejects with all its output when it fails
 */
async function call(command, args) {
  const running = promisify(execFile)(command, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
  track(running.child);
  try {
    return (await running).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = /** @type {{stdout?: string, stderr?: string}} */ (error);
    throw new Error(`${command} failed:\n${stdout}${stderr}`.trimEnd(), { cause: error });
  }
}
