// The parent's side of a program: every run of a row has processes of its own.
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { track } from './children.mjs';
import { RivalUnavailable } from './unavailable.mjs';

const canPin = process.platform === 'linux' && spawnSync('taskset', ['--version']).status === 0;

/** How long a program that was told to end may take. */
const endMs = 5000;

/**
 * @typedef {object} ProgramOptions
 * @property {number} [core] the core to stay on, from 0; without effect where there are fewer cores or no taskset
 * @property {string[]} [nodeOptions]
 * @property {number} [readyMs] how long it may take to be ready, before it is ended; no limit by default
 * @property {readonly string[]} [prefix] command before it, which must end by becoming the program it is given, as nsenter does
 */

export class Program {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  #nextId = 0;
  /** @type {Map<number, {resolve: (result: unknown) => void, reject: (error: Error) => void}>} */
  #requests = new Map();
  /** @type {Promise<void>} */
  #ready;
  /** @type {Promise<void>} */
  #exited;

  /**
   * Starts a program of the folder `programs`.
   *
   * @param {string} name its file without the ending
   * @param {unknown} config what its `configuration()` returns
   * @param {ProgramOptions} [options]
   * @returns {Promise<Program>} rejects when it ends before it is ready; with RivalUnavailable when its driver cannot run here
   */
  static async start(name, config, options = {}) {
    const program = new Program(name, config, options);
    await program.#ready;
    return program;
  }

  /**
   * @param {string} name
   * @param {unknown} config
   * @param {ProgramOptions} options
   */
  constructor(name, config, { core, nodeOptions = [], prefix = [], readyMs }) {
    const file = fileURLToPath(new URL(`../programs/${name}.mjs`, import.meta.url));
    const command = [process.execPath, ...nodeOptions, file, JSON.stringify(config)];
    if (core !== undefined && canPin && core < availableParallelism()) {
      command.unshift('taskset', '--cpu-list', String(core));
    }
    const [executable = '', ...args] = [...prefix, ...command];
    this.#child = track(spawn(executable, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));
    /** @type {() => void} */
    let ready = () => undefined;
    /** @type {(error: Error) => void} */
    let failed = () => undefined;
    this.#ready = new Promise((resolve, reject) => {
      ready = resolve;
      failed = reject;
    });
    if (readyMs !== undefined) {
      const timer = setTimeout(() => {
        failed(new Error(`${name} was not ready within ${readyMs} ms`));
        this.#child.kill('SIGKILL');
      }, readyMs);
      const clear = () => clearTimeout(timer);
      this.#ready.then(clear, clear);
    }
    /** @param {{ready?: boolean, unavailable?: string, id: number, result: unknown}} message */
    const onMessage = (message) => {
      if (message.ready) return ready();
      if (message.unavailable !== undefined) return failed(new RivalUnavailable(message.unavailable));
      this.#requests.get(message.id)?.resolve(message.result);
      this.#requests.delete(message.id);
    };
    this.#child.on('message', onMessage);
    this.#child.on('error', failed);
    this.#exited = new Promise((resolve) => {
      this.#child.on('exit', (code, signal) => {
        const error = new Error(`${name} ended with ${signal ?? `exit code ${code}`}`);
        failed(error);
        for (const request of this.#requests.values()) request.reject(error);
        this.#requests.clear();
        resolve();
      });
    });
  }

  /**
   * @template T
   * @param {string} name of one of the program's handlers
   * @param {unknown} [argument] JSON
   * @returns {Promise<T>} what the handler returned; rejects when the program ends before
   */
  request(name, argument = null) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // The programs and the rows agree on the types of results.
      this.#requests.set(id, { resolve: (result) => resolve(/** @type {T} */ (result)), reject });
      this.#child.send({ id, name, argument }, (error) => {
        if (error === null) return;
        this.#requests.delete(id);
        reject(error);
      });
    });
  }

  /** Ends the process at once, as a crash does. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Ends the process. */
  async end() {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), endMs);
    await this.#exited;
    clearTimeout(timer);
  }
}

/**
 * @template One, Other
 * @param {Program} one
 * @param {Program} other
 * @returns {Promise<[One, Other]>} the marks of both, taken at the same time
 */
export function bothMarks(one, other) {
  return Promise.all([one.request('mark'), other.request('mark')]);
}

/**
 * Runs `work` with programs that are ended afterwards, whatever happens.
 *
 * @template T
 * @param {(start: typeof Program.start) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withPrograms(work) {
  /** @type {Program[]} */
  const programs = [];
  try {
    return await work(async (name, config, options) => {
      const program = await Program.start(name, config, options);
      programs.push(program);
      return program;
    });
  } finally {
    await Promise.all(programs.map((program) => program.end()));
  }
}
