// Compiles the addon out of the installed package: a work folder with the sources, node-gyp in it, and the result moved to
// where it belongs in one step. What was compiled before an interruption or an error is not compiled again.

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  createWriteStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { packageVersion } from '../base/package-version.js';
import { systemCode } from '../base/system-error.js';
import type { NodeGyp } from './build-node-gyp.js';
import { type Compiler, headersPrefix } from './build-tools.js';
import { CommandError } from './errors.js';
import { printable } from './terminal.js';

/** What is compiled, with what, and where to. */
export interface AddonBuild {
  /** The root of the package. */
  readonly root: string;
  /** The folder of the package that holds the sources. */
  readonly source: string;
  /** The folder for `hawser.node`; made where it is not there. */
  readonly target: string;
  readonly compiler: Compiler | undefined;
  readonly nodeGyp: NodeGyp;
  /** How many files are compiled at a time. */
  readonly jobs: number;
  /** Whether what an earlier run left is removed first. */
  readonly clean: boolean;
  /** Ends it; what was compiled is kept. */
  readonly signal: AbortSignal;
  /** @param done how many of all files are compiled, or were before. */
  onProgress(done: number, total: number): void;
}

/**
 * Compiles the addon, looks whether it loads, and puts it into the target folder.
 *
 * @returns its path.
 * @throws CommandError when the folder cannot be written, when compiling fails, or when the result does not load.
 */
export async function buildAddon(build: AddonBuild): Promise<string> {
  const work = prepareWork(build);
  const log = join(work, 'build.log');
  const code = await runNodeGyp(build, work, log);
  build.signal.throwIfAborted();
  if (code !== 0) {
    throw new CommandError(`compiling failed; ${lastErrors(log)}; all of it is in ${printable(log)}`);
  }
  const built = join(work, 'build', 'Release', 'hawser.node');
  await checkLoads(built);
  const path = join(build.target, 'hawser.node');
  await moveInto(built, path);
  rmSync(work, { recursive: true, force: true });
  return path;
}

/**
 * In a folder for everybody, others could put what is compiled into the work folder before it is there, or a link in the way of the result.
 */
function checkOwn(target: string): void {
  const found = statSync(target, { throwIfNoEntry: false });
  if (process.platform === 'win32' || found === undefined || (found.mode & 0o002) === 0) return;
  throw new CommandError(
    `every user of this machine can write to ${printable(target)}: give --out a folder of your own`,
  );
}

/** The work folder, filled. Its name tells what is compiled in it: objects of other sources are never taken for these. */
function prepareWork({ root, source, target, clean }: AddonBuild): string {
  checkOwn(target);
  const files = filesUnder(source);
  const hash = createHash('sha256').update(process.version);
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(source, file)));
  const work = join(target, `hawser-build-${hash.digest('hex').slice(0, 12)}`);
  try {
    if (clean) rmSync(work, { recursive: true, force: true });
    for (const file of files) {
      const to = join(work, nameInWork(file));
      mkdirSync(dirname(to), { recursive: true });
      // With their times, so that make sees that nothing has changed.
      cpSync(join(source, file), to, { preserveTimestamps: true });
    }
    // addon.gyp asks for the version.
    cpSync(join(root, 'package.json'), join(work, 'package.json'), { preserveTimestamps: true });
  } catch (error) {
    throw notWritable(target, error);
  }
  return work;
}

function filesUnder(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}

/** Names that npm would treat as its own have others in the package. */
function nameInWork(file: string): string {
  if (file === 'addon.gyp') return 'binding.gyp';
  return file.startsWith('node-addon-api') ? join('node_modules', file) : file;
}

function notWritable(target: string, error: unknown): unknown {
  const code = systemCode(error);
  if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') return error;
  return new CommandError(
    `${printable(target)} cannot be written (${code}): run this as the owner of the package, or give --out a folder that you may write`,
  );
}

function runNodeGyp(build: AddonBuild, work: string, log: string): Promise<number> {
  const { nodeGyp, compiler, jobs, signal } = build;
  const prefix = headersPrefix();
  const args = [...nodeGyp.args, 'configure', 'build', '--release', '--jobs', String(jobs)];
  if (prefix !== undefined) args.push('--nodedir', prefix);
  const child = spawn(nodeGyp.program, args, {
    cwd: work,
    env: {
      ...process.env,
      // binding.gyp calls node.
      PATH: [dirname(process.execPath), process.env.PATH ?? ''].join(delimiter),
      ...(compiler && { CXX: compiler.cxx }),
      ...(compiler?.cc !== undefined && { CC: compiler.cc }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // npx is a script there.
    shell: process.platform === 'win32' && nodeGyp.program === 'npx',
  });
  const onAbort = (): void => void child.kill();
  signal.addEventListener('abort', onAbort, { once: true });
  follow(build, child, log);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      signal.removeEventListener('abort', onAbort);
      resolve(code ?? 1);
    });
  });
}

/** Keeps what is printed, and tells of each file that is compiled. */
function follow({ source, onProgress }: AddonBuild, child: ChildProcess, log: string): void {
  const total = countSources(source);
  const file = createWriteStream(log);
  // Those of an earlier run.
  let done = filesUnder(dirname(log)).filter((name) => name.endsWith('.o')).length;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      file.write(text);
      // What make, or MSBuild, prints when it compiles one.
      done += text.match(/CXX\(target\)|^\s+\S+\.cpp$/gm)?.length ?? 0;
      onProgress(Math.min(done, total), total);
    });
  }
  child.once('close', () => file.end());
}

/** How many files are compiled for this system: what binding.gyp is told, by gyp's names of systems. */
function countSources(source: string): number {
  const os = process.platform === 'win32' ? 'win' : process.platform === 'darwin' ? 'mac' : process.platform;
  const script = join(source, 'scripts', 'native-sources.mjs');
  const { stdout } = spawnSync(process.execPath, [script, '--list', os], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '').length;
}

/** The first errors in a log, in one line. */
function lastErrors(log: string): string {
  const lines = readFileSync(log, 'utf8').split('\n');
  const errors = lines.filter(
    (line) => /\berror\b[:!]|ERR!/i.test(line) && !/not ok|stack {2,}at/.test(line),
  );
  const shown = (errors.length > 0 ? errors : lines.filter((line) => line.trim() !== '').slice(-3)).slice(
    0,
    3,
  );
  return shown.map((line) => printable(line.trim())).join(' | ');
}

/** In a process of its own: a loaded file cannot be moved on Windows. */
async function checkLoads(file: string): Promise<void> {
  const program = 'process.stdout.write(require(process.argv[1]).version)';
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, file]).catch((error) => {
    throw new CommandError(`what was compiled does not load: ${lastLine(error)}`);
  });
  const version = packageVersion();
  if (stdout === version) return;
  throw new CommandError(`what was compiled is version ${stdout}, and the package is ${version}`);
}

function lastLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable(text.split('\n').find((line) => line.startsWith('Error')) ?? text);
}

/** Into its place in one step: a process that has the old file loaded keeps it, and none sees half of the new one. */
async function moveInto(from: string, to: string): Promise<void> {
  const beside = join(dirname(to), `.${basename(to)}.${process.pid}`);
  await copyFile(from, beside);
  renameSync(beside, to);
}
