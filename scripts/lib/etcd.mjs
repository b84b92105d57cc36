// Real etcd servers for tests, benchmarks and development, each a process of its own that ends with this one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from './free-ports.mjs';
import { which } from './process.mjs';

/** Whether there is an etcd to start. */
export const hasEtcd = which('etcd') !== undefined;

/** On Linux the system ends a node also when this process is killed, which cannot do it then. */
const endsWithParent = which('setpriv') === undefined ? [] : ['setpriv', '--pdeathsig', 'KILL'];
/** What keeps the history, and with it the memory, of a store in bounds: see docs/cluster.md. */
const upkeep = ['--auto-compaction-mode', 'revision', '--auto-compaction-retention', '1000'];
const startAttempts = 3;
/** Only to fail rather than to hang. */
const readyMs = 60_000;
/** Longer than a machine that is busy takes to answer. */
const answerMs = 5000;
const pollMs = 20;
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Whether all threads of a process are stopped, which only Linux shows.
 *
 * @param {number} pid
 */
function standsStill(pid) {
  const threads = `/proc/${pid}/task`;
  if (process.platform !== 'linux') return true;
  try {
    return readdirSync(threads).every((id) => /\) T /.test(readFileSync(join(threads, id, 'stat'), 'utf8')));
  } catch (error) {
    // A thread has ended meanwhile, so it was not stopped.
    if (['ENOENT', 'ESRCH'].includes(Object(error).code)) return false;
    throw error;
  }
}

/** One node. */
export class EtcdNode {
  /** @type {string} */
  name;
  /** `http://127.0.0.1:PORT`. @type {string} */
  url;
  #log;
  #args;
  #detached;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;

  /**
   * @param {string} name
   * @param {string} url
   * @param {string} log the file that its output goes to
   * @param {readonly string[]} args
   * @param {boolean} detached Ctrl-C is for those who started it to pass on
   */
  constructor(name, url, log, args, detached) {
    this.name = name;
    this.url = url;
    this.#log = log;
    this.#args = args;
    this.#detached = detached;
  }

  /** Starts it on the data that it has. */
  start() {
    const log = openSync(this.#log, 'a');
    const [program = 'etcd', ...args] = [...endsWithParent, 'etcd', ...this.#args];
    const child = spawn(program, args, { stdio: ['ignore', log, log], detached: this.#detached });
    closeSync(log);
    this.#child = child;
    running.add(child);
    child.once('error', () => running.delete(child));
    child.once('exit', () => running.delete(child));
  }

  /** Whether it runs. */
  get isRunning() {
    return this.#child !== undefined && running.has(this.#child);
  }

  /** The number of its process. */
  get pid() {
    return this.#child?.pid;
  }

  get log() {
    return readFileSync(this.#log, 'utf8');
  }

  /** Resolves once it serves: the cluster has a leader. */
  async ready() {
    const endMs = performance.now() + readyMs;
    while (!(await isHealthy(this.url))) {
      if (!this.isRunning) throw new Error(`etcd ended:\n${this.log}`);
      if (performance.now() > endMs) throw new Error(`etcd is not ready:\n${this.log}`);
      await delay(pollMs);
    }
  }

  /** Whether it leads the cluster, and says so. */
  async leads() {
    try {
      const metrics = await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(answerMs) });
      return /^etcd_server_is_leader 1$/m.test(await metrics.text());
    } catch {
      return false;
    }
  }

  /** Resolves once it stands still: until each of its threads has taken the signal, it can still answer. */
  async pause() {
    const { pid } = this;
    if (pid === undefined || !this.#child?.kill('SIGSTOP')) return;
    while (this.isRunning && !standsStill(pid)) await delay(1);
  }

  resume() {
    this.#child?.kill('SIGCONT');
  }

  /** Without giving it time for anything. */
  kill() {
    return this.#end('SIGKILL');
  }

  /** It ends in order. */
  stop() {
    return this.#end('SIGTERM');
  }

  /** @param {NodeJS.Signals} signal */
  async #end(signal) {
    if (this.#child === undefined || !this.isRunning) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}

/**
 * @typedef {object} EtcdOptions
 * @property {1 | 3} nodes
 * @property {string} [folder] where their data is, to be found again by the next start; by default a temporary one that goes with them
 * @property {readonly string[]} [args] more arguments of each node
 * @property {boolean} [detached] Ctrl-C in the terminal does not reach them; false by default
 */

/** A cluster on this machine. */
export class EtcdServers {
  /** @type {readonly EtcdNode[]} */
  nodes;
  #folder;
  #isTemporary;

  /**
   * @param {readonly EtcdNode[]} nodes
   * @param {string} folder
   * @param {boolean} isTemporary
   */
  constructor(nodes, folder, isTemporary) {
    this.nodes = nodes;
    this.#folder = folder;
    this.#isTemporary = isTemporary;
  }

  /**
   * @param {EtcdOptions} options
   * @returns {Promise<EtcdServers>} once they serve
   */
  static async start({ nodes: count, folder, args = [], detached = false }) {
    for (let attempt = 1; ; ++attempt) {
      const base = folder ?? mkdtempSync(join(tmpdir(), 'hawser-etcd-'));
      mkdirSync(base, { recursive: true, mode: 0o700 });
      const nodes = nodesIn(base, await portsOf(base, 2 * count), args, detached);
      const servers = new EtcdServers(nodes, base, folder === undefined);
      for (const node of nodes) node.start();
      try {
        await Promise.all(nodes.map((node) => node.ready()));
        return servers;
      } catch (error) {
        await servers.kill();
        // Another process may have taken a port meanwhile. Those of a folder stay as they are.
        if (attempt === startAttempts || folder !== undefined) throw error;
      }
    }
  }

  get urls() {
    return this.nodes.map(({ url }) => url);
  }

  /** The only one, or the first. */
  get node() {
    const [node] = this.nodes;
    if (node === undefined) throw new Error('there is no node');
    return node;
  }

  /** @returns {Promise<EtcdNode>} the one that leads, once there is one */
  async leader() {
    for (;;) {
      for (const node of this.nodes) if (node.isRunning && (await node.leads())) return node;
      await delay(pollMs);
    }
  }

  /** Ends all, and removes their data unless a folder was given. */
  async stop() {
    await Promise.all(this.nodes.map((node) => node.stop()));
    this.#remove();
  }

  /** As `stop`, without giving them time for anything. */
  async kill() {
    await Promise.all(this.nodes.map((node) => node.kill()));
    this.#remove();
  }

  #remove() {
    if (this.#isTemporary) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} folder
 * @param {readonly number[]} ports
 * @param {readonly string[]} more
 * @param {boolean} detached
 */
function nodesIn(folder, ports, more, detached) {
  const count = ports.length / 2;
  const nodes = Array.from({ length: count }, (_, index) => ({
    name: `node${index + 1}`,
    url: `http://127.0.0.1:${ports[index]}`,
    peer: `http://127.0.0.1:${ports[count + index]}`,
  }));
  const cluster = nodes.map(({ name, peer }) => `${name}=${peer}`).join(',');
  return nodes.map(({ name, url, peer }) => {
    const args = ['--name', name, '--data-dir', join(folder, name), ...upkeep];
    args.push('--listen-client-urls', url, '--advertise-client-urls', url);
    args.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer);
    args.push('--initial-cluster', cluster, '--initial-cluster-state', 'new', '--log-level', 'warn');
    return new EtcdNode(name, url, join(folder, `${name}.log`), [...args, ...more], detached);
  });
}

/**
 * The same ones again for a folder that had them: nodes keep in their data where they find each other.
 *
 * @param {string} folder
 * @param {number} count
 * @returns {Promise<number[]>}
 */
async function portsOf(folder, count) {
  const file = join(folder, 'ports.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const ports = await freePorts(count);
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

/** @param {string} url */
async function isHealthy(url) {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(answerMs) });
    return response.ok;
  } catch {
    return false;
  }
}
