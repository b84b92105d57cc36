// The native programs of native/bench, which are built when they are first needed.
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Where the preset `bench` of CMakePresets.json builds. */
const folder = join(root, 'build-cmake', 'bench');

/**
 * Runs a native program.
 *
 * @param {string} name of its source in native/bench, without the ending
 * @param {readonly (string | number)[]} args
 * @returns {Promise<unknown>} what it printed: JSON; rejects with the program's or the compiler's output when either fails
 */
export async function runNative(name, args) {
  await call('cmake', ['--preset', 'bench']);
  await call('cmake', [
    '--build',
    folder,
    '--target',
    `bench_${name}`,
    '--parallel',
    String(availableParallelism()),
  ]);
  return JSON.parse(await call(join(folder, `bench_${name}`), args.map(String)));
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<string>} its standard output; rejects with all its output when it fails
 */
async function call(command, args) {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = /** @type {{stdout?: string, stderr?: string}} */ (error);
    throw new Error(`${command} failed:\n${stdout}${stderr}`.trimEnd(), { cause: error });
  }
}
