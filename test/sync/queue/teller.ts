// Drives children/teller.mjs.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('children/teller.mjs', import.meta.url));

/** A process that opens a queue, and does what it is told. */
export class QueueTeller {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiters: ((line: string) => void)[] = [];
  readonly ended: Promise<void>;

  constructor(path: string, options: { durability?: string; marks?: string; environment?: object } = {}) {
    const { durability = 'durable', marks = '', environment = {} } = options;
    this.#child = spawn(process.execPath, [program, path, durability, marks], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...environment },
    });
    this.ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('the child has no output');
    createInterface({ input: stdout }).on('line', (line) => {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) this.#lines.push(line);
      else waiter(line);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The next line that it prints. */
  next(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return Promise.race([
      new Promise<string>((resolve) => this.#waiters.push(resolve)),
      this.ended.then(() => 'ended'),
    ]);
  }

  /** Tells it something. @returns its answer, if it answers in order. */
  async tell(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`);
    return this.next();
  }

  /** Tells it several things at once. */
  tellAll(lines: readonly string[]): Promise<string[]> {
    this.#child.stdin?.write(lines.map((line) => `${line}\n`).join(''));
    return Promise.all(lines.map(() => this.next()));
  }

  /** Lets it close the queue. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.ended;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }
}
