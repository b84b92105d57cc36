// Child processes, for the scripts beside this folder.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const jobs = availableParallelism();

/**
 * Runs a command in the project's root folder.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{env?: Record<string, string>, cwd?: string, show?: boolean, input?: string}} [options] show: pass output
 *   on as it comes, besides collecting it; input: what its standard input holds
 * @returns {Promise<{code: number, output: string, seconds: number}>} code is 127 when it could not be started
 */
export function run(command, args, { env = {}, cwd = root, show = false, input } = {}) {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    let output = '';
    const collect = (stream) => (chunk) => {
      output += chunk;
      if (show) stream.write(chunk);
    };
    child.stdout.setEncoding('utf8').on('data', collect(process.stdout));
    child.stderr.setEncoding('utf8').on('data', collect(process.stderr));
    if (input !== undefined) child.stdin.end(input);
    const finish = (code) => resolve({ code, output, seconds: (performance.now() - started) / 1000 });
    child.on('error', (error) => {
      output += `${command}: ${error.message}\n`;
      finish(127);
    });
    child.on('close', (code, signal) => {
      if (signal) output += `${command}: ended by ${signal}\n`;
      finish(code ?? 1);
    });
  });
}

/** @returns {string | undefined} the path of an executable in PATH */
export function which(name) {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(dir, name + suffix);
    if (dir && existsSync(file)) return file;
  }
  return undefined;
}

/** Runs npm: the one that started us where there is one, so that versions agree. */
export function runNpm(args, options) {
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('.js')) return run(process.execPath, [cli, ...args], options);
  return run('npm', args, options);
}

/** Runs a program that npm installed, by its name in node_modules/.bin. */
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

/** Works through items with at most `limit` at a time. */
export async function eachParallel(items, limit, work) {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
