// Processes that open control sockets of the same paths at the same time.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const source = `
import { createInterface } from 'node:readline';
const { openControlSocket } = await import(process.argv[1]);
let control;
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'close') {
    await control?.close();
    control = undefined;
    console.log('closed');
  } else {
    const opened = openControlSocket(line, async () => process.pid, { served: 'gateway' });
    console.log(await opened.then((server) => { control = server; return 'opened'; }, (error) => error.code));
  }
}
`;

/** What a process says to each line that it is given: in that order. */
class Opener {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(module: string) {
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', source, module], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no standard output');
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async heard(): Promise<string> {
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the process ended');
    return value;
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

/** Some processes, each of which opens what it is told to. */
export class Openers implements AsyncDisposable {
  readonly #openers: readonly Opener[];

  private constructor(openers: readonly Opener[]) {
    this.#openers = openers;
  }

  /** Resolves when all of them are there. */
  static async start(count: number): Promise<Openers> {
    const module = pathToFileURL(resolve('dist/base/control-socket.js')).href;
    const openers = new Openers(Array.from({ length: count }, () => new Opener(module)));
    await openers.#all((opener) => opener.heard());
    return openers;
  }

  /** All of them open a socket at once. @returns the process ids of those that did; the others say ERR_HAWSER_ADDRESS_IN_USE. */
  async open(path: string): Promise<readonly (number | undefined)[]> {
    for (const opener of this.#openers) opener.tell(path);
    const said = await this.#all(async (opener) => ({ pid: opener.pid, text: await opener.heard() }));
    const other = said.find(({ text }) => text !== 'opened' && text !== 'ERR_HAWSER_ADDRESS_IN_USE');
    if (other !== undefined) throw new Error(`it said ${other.text}`);
    return said.filter(({ text }) => text === 'opened').map(({ pid }) => pid);
  }

  async close(): Promise<void> {
    for (const opener of this.#openers) opener.tell('close');
    await this.#all((opener) => opener.heard());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all((opener) => opener.kill());
  }

  #all<T>(run: (opener: Opener) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#openers.map(run));
  }
}
