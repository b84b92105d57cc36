// A native program that answers commands: a line of words to it, a line of JSON from it, in order.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { track } from './children.mjs';
import { RivalUnavailable } from './unavailable.mjs';

/** Exit code of a program that cannot run here; the reason is on its standard error. */
const unavailableCode = 3;

/** How long a program may take to end after its input has ended, in milliseconds. */
const endMs = 5000;

export class LineProgram {
  /** First line that it printed: JSON. @type {Record<string, unknown>} */
  greeting = {};
  #child;
  #name;
  #errors = '';
  /** Waiting for lines, the first one for the next line. @type {{resolve: (line: unknown) => void, reject: (error: Error) => void}[]} */
  #waiting = [];
  /** Set once the program has ended. @type {Error | undefined} */
  #ended;
  /** @type {Promise<void>} */
  #exited;

  /**
   * Starts a program.
   *
   * @param {string} file
   * @param {readonly (string | number)[]} args
   * @param {readonly string[]} [prefix] command before it
   * @returns {Promise<LineProgram>} once it has printed its first line; rejects if it ends before, with RivalUnavailable if it cannot run here
   */
  static async start(file, args, prefix = []) {
    const program = new LineProgram(file, args, prefix);
    program.greeting = /** @type {Record<string, unknown>} */ (await program.#line());
    return program;
  }

  /**
   * @param {string} file
   * @param {readonly (string | number)[]} args
   * @param {readonly string[]} prefix
   */
  constructor(file, args, prefix) {
    this.#name = file.split('/').at(-1) ?? file;
    const [executable = '', ...rest] = [...prefix, file, ...args.map(String)];
    const child = track(spawn(executable, rest, { stdio: ['pipe', 'pipe', 'pipe'] }));
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors += text;
    });
    // It has ended, which `close` tells.
    child.stdin.on('error', () => undefined);
    createInterface({ input: child.stdout }).on('line', (line) => this.#onLine(line));
    child.on('error', (error) => this.#end(error));
    this.#exited = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        this.#end(this.#failure(code, signal));
        resolve();
      });
    });
  }

  /**
   * @template T
   * @param {string} name of a command
   * @param {readonly (string | number)[]} [words]
   * @returns {Promise<T>} its answer; rejects if the program refuses it, or ends before
   */
  async request(name, words = []) {
    const answer = this.#line();
    this.#child.stdin.write(`${[name, ...words].join(' ')}\n`);
    // The programs and the rows agree on the types of answers.
    const result = /** @type {T & {error?: string}} */ (await answer);
    if (result.error !== undefined) throw new Error(`${this.#name}: ${name}: ${result.error}`);
    return result;
  }

  /** Ends its input, and the process if it does not end by itself. */
  async end() {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), endMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** @returns {Promise<unknown>} the next line that has no other reader */
  #line() {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) reject(this.#ended);
      else this.#waiting.push({ resolve, reject });
    });
  }

  /** @param {string} line */
  #onLine(line) {
    const waiting = this.#waiting.shift();
    try {
      waiting?.resolve(JSON.parse(line));
    } catch (cause) {
      waiting?.reject(new Error(`${this.#name} printed no JSON: ${line}`, { cause }));
    }
  }

  /** @param {Error} error */
  #end(error) {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }

  /**
   * @param {number | null} code
   * @param {string | null} signal
   * @returns {Error}
   */
  #failure(code, signal) {
    const said = this.#errors.trim();
    if (code === unavailableCode) return new RivalUnavailable(said);
    return new Error(
      `${this.#name} ended with ${signal ?? `exit code ${code}`}${said === '' ? '' : `: ${said}`}`,
    );
  }
}
