// Programs of test/transport/children, and a gateway among them.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The path of a program. */
export const child = (name: string): string =>
  fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));

/** A gateway in another process. */
export class ChildGateway {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  address = '';

  private constructor(options: object) {
    this.#process = spawn(process.execPath, [child('gateway'), JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { stdout } = this.#process;
    if (stdout === null) throw new Error('no standard output');
    this.#lines = createInterface(stdout)[Symbol.asyncIterator]();
  }

  /** @param options as children/gateway.mjs takes them. */
  static async start(options: object): Promise<ChildGateway> {
    const gateway = new ChildGateway(options);
    const { address } = await gateway.next();
    gateway.address = String(address);
    return gateway;
  }

  /** What it says next. */
  async next(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the gateway ended');
    return JSON.parse(value);
  }

  async kill(): Promise<void> {
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }
}
