// Child processes, for the scripts beside this folder.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism, constants, setPriority } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const jobs = availableParallelism();

/**
 * @typedef {object} RunOptions
 * @property {Record<string, string>} [env]
 * @property {string} [cwd]
 * @property {boolean} [show] pass output on as it comes, besides collecting it
 * @property {string} [input] what its standard input holds
 * @property {boolean} [yielding] it takes only the time that nobody else wants
 * @property {AbortSignal} [signal] ends the command and all processes of its group; Ctrl-C in the terminal does not reach them
 */

/**
 * @typedef {object} Outcome
 * @property {number} code 127 when it could not be started
 * @property {string} output
 * @property {number} seconds
 */

/**
 * Runs a command in the project's root folder.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Outcome>}
 */
export function run(command, args, options = {}) {
  const { env = {}, cwd = root, show = false, input, yielding = false, signal } = options;
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
      // In a group of its own, which can be ended with all that it has started.
      detached: signal !== undefined && process.platform !== 'win32',
    });
    const abort = () => endGroup(child);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    if (yielding && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
    let output = '';
    const collect = (/** @type {NodeJS.WriteStream} */ stream) => (/** @type {string} */ chunk) => {
      output += chunk;
      if (show) stream.write(chunk);
    };
    child.stdout?.setEncoding('utf8').on('data', collect(process.stdout));
    child.stderr?.setEncoding('utf8').on('data', collect(process.stderr));
    if (input !== undefined) child.stdin?.end(input);
    const finish = (/** @type {number} */ code) =>
      resolve({ code, output, seconds: (performance.now() - started) / 1000 });
    child.on('error', (error) => {
      output += `${command}: ${error.message}\n`;
      finish(127);
    });
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', abort);
      if (killedBy) output += `${command}: ended by ${killedBy}\n`;
      finish(code ?? 1);
    });
  });
}

/** Time that processes have to end after SIGTERM, in milliseconds. */
const endMs = 5000;

/**
 * Ends a process and its group: SIGTERM, then SIGKILL for those that are left.
 *
 * @param {import('node:child_process').ChildProcess} child that leads the group
 */
function endGroup(child) {
  if (child.pid === undefined) return;
  const { pid } = child;
  const kill = (/** @type {NodeJS.Signals} */ name) => {
    try {
      if (process.platform === 'win32') child.kill(name);
      else process.kill(-pid, name);
    } catch {
      // All of them have ended.
    }
  };
  kill('SIGTERM');
  const timer = setTimeout(() => kill('SIGKILL'), endMs);
  // Its output ends when the last process that has it ends.
  child.once('close', () => clearTimeout(timer));
}

/** @param {string} name @returns {string | undefined} the path of an executable in PATH */
export function which(name) {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(dir, name + suffix);
    if (dir && existsSync(file)) return file;
  }
  return undefined;
}

/**
 * Runs npm: the one that started us where there is one, so that versions agree.
 *
 * @param {string[]} args
 * @param {RunOptions} [options]
 */
export function runNpm(args, options) {
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('.js')) return run(process.execPath, [cli, ...args], options);
  return run('npm', args, options);
}

/**
 * Runs a program that npm installed.
 *
 * @param {string} name in node_modules/.bin
 * @param {string[]} args
 * @param {RunOptions} [options]
 */
export function runBin(name, args, options) {
  return run(join(root, 'node_modules', '.bin', name), args, options);
}

/**
 * The folder of Node's own headers, where this Node came with them: then nothing has to be fetched to build.
 *
 * @returns {string | undefined} the prefix, as node-gyp's --nodedir takes it
 */
export function nodeHeadersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? prefix : undefined;
}

/**
 * Works through items with at most `limit` at a time.
 *
 * @template T
 * @param {readonly T[]} items
 * @param {number} limit
 * @param {(item: T) => Promise<void>} work
 */
export async function eachParallel(items, limit, work) {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
