// On what the figures were measured, and what was measured.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { bufferBytes } from '../drivers/contract.mjs';
import { exactFigure } from './format.mjs';

/**
 * @typedef {object} Machine
 * @property {string} cpu
 * @property {number} cores
 * @property {number} memoryBytes
 * @property {string} kernel
 * @property {string} node
 * @property {string | null} libc null where Node.js does not say
 * @property {boolean | null} virtualised whether the CPU says that a hypervisor is below; null where there is no such flag
 * @property {string | null} governor of the CPU frequency; null where the system does not say, as in most virtual machines
 * @property {Record<string, number>} limits the kernel's ceilings for socket buffers, in bytes; none where it has no such names
 * @property {number} load processes that wanted to run when the measurement began, mean of the last minute
 */

/**
 * @typedef {object} Versions
 * @property {string} hawser
 * @property {string | null} commit null outside of a clone
 * @property {string | null} changes a digest of what differs from the commit, files that git does not know yet included; null when nothing
 * does
 * @property {Record<string, string>} rivals packages that are installed
 */

const root = new URL('../../', import.meta.url);

/** @returns {Machine} */
export function describeMachine() {
  const linux = process.platform === 'linux';
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    // What a builder has added to the version says nothing to others.
    kernel: `${process.platform} ${/^[\d.]+/.exec(release())?.[0] ?? release()} ${process.arch}`,
    node: process.version,
    libc: libcVersion(),
    virtualised: linux ? /^flags\s*:.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) : null,
    governor: firstLine('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
    limits: linux ? bufferLimits() : {},
    load: loadavg()[0] ?? 0,
  };
}

/** @returns {Versions} */
export function describeVersions() {
  const { dependencies = {}, optionalDependencies = {} } = readPackage('bench/package.json');
  const names = Object.keys({ ...dependencies, ...optionalDependencies }).sort();
  const installed = names.filter((name) => existsSync(new URL(packageFile(name), root)));
  return {
    hawser: readPackage('package.json').version,
    commit: git('rev-parse', '--short=12', 'HEAD')?.trim() ?? null,
    changes: changesOf(),
    rivals: Object.fromEntries(installed.map((name) => [name, readPackage(packageFile(name)).version])),
  };
}

/** @returns {string | null} as in `Versions` */
function changesOf() {
  const where = ['--', '.', ':!bench/results'];
  const diff = git('diff', 'HEAD', ...where) ?? '';
  const untracked = git('ls-files', '--others', '--exclude-standard', '-z', ...where) ?? '';
  if (diff === '' && untracked === '') return null;
  const hash = createHash('sha256').update(diff);
  for (const path of untracked.split('\0').filter((each) => each !== '')) {
    const file = fileURLToPath(root) + path;
    // Git names a repository within this one, and links, too.
    hash.update(`\0${path}\0`).update(lstatSync(file).isFile() ? readFileSync(file) : '');
  }
  return hash.digest('hex').slice(0, 12);
}

/** @param {string} name */
function packageFile(name) {
  return `bench/node_modules/${name}/package.json`;
}

/**
 * @param {string} path from the root of the repository
 * @returns {{version: string, dependencies?: Record<string, string>, optionalDependencies?: Record<string, string>}}
 */
function readPackage(path) {
  return JSON.parse(readFileSync(new URL(path, root), 'utf8'));
}

/**
 * @param {string[]} args
 * @returns {string | null} null when there is no git, or this is no clone
 */
function git(...args) {
  const { status, stdout } = spawnSync('git', args, {
    cwd: fileURLToPath(root),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  return status === 0 ? stdout : null;
}

/** @returns {string | null} */
function libcVersion() {
  const report = /** @type {{header?: {glibcVersionRuntime?: string}}} */ (process.report.getReport());
  const version = report.header?.glibcVersionRuntime;
  return version === undefined ? null : `glibc ${version}`;
}

/**
 * @param {string} file
 * @returns {string | null} null when it is not there
 */
function firstLine(file) {
  return existsSync(file) ? (readFileSync(file, 'utf8').split('\n')[0] ?? null) : null;
}

/** @returns {Record<string, number>} */
function bufferLimits() {
  const names = ['rmem_max', 'wmem_max'];
  return Object.fromEntries(
    names.map((name) => [name, Number(readFileSync(`/proc/sys/net/core/${name}`, 'utf8'))]),
  );
}

/**
 * @param {Pick<Machine, 'limits'>} machine
 * @returns {string | null} for people, where the kernel's ceiling is below what every contender asks for
 */
export function bufferWarning({ limits: { rmem_max: most = Number.POSITIVE_INFINITY } }) {
  if (most >= bufferBytes) return null;
  return `warning: net.core.rmem_max is ${exactFigure(most)}: rivals cannot have receive buffers of ${exactFigure(bufferBytes)} bytes`;
}

/**
 * @param {Machine} machine
 * @returns {string} one line for people
 */
export function machineLine({ cpu, cores, memoryBytes, kernel, node, libc, virtualised }) {
  const gib = (memoryBytes / 2 ** 30).toFixed(0);
  const parts = [cpu, `${cores} cores${virtualised ? ' (virtual machine)' : ''}`, `${gib} GiB`, kernel];
  return [...parts, ...(libc ? [libc] : []), `Node.js ${node}`].join(', ');
}
