// An example in a process of its own, with children/watched.mjs, which reports what its servers hold for their peers.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { mintToken } from '../../src/token/index.js';
import type { WireChannel } from './slow-clients.js';

export interface ServedAddress {
  readonly address: string;
  readonly protocolId: string;
  readonly channels: readonly WireChannel[];
  /** Whether the example listens to its events. */
  readonly serves: boolean;
}

export interface Ending {
  readonly clientId: string;
  readonly result: string;
  readonly code: number;
  readonly reason: string;
}

export interface Report {
  /** In the order in which they began to listen. */
  readonly servers: readonly ServedAddress[];
  /** Client ids. */
  readonly connected: readonly string[];
  readonly endings: readonly Ending[];
  /** Most bytes held for each client id at any time. */
  readonly peakBytes: Readonly<Record<string, number>>;
  /** Exceptions of listeners that the example did not handle. */
  readonly listenerErrors: number;
}

const watched = fileURLToPath(new URL('children/watched.mjs', import.meta.url));
const key = { id: 4_000_000, key: new Uint8Array(32).fill(7) };
/** Slow clients answer no sooner than this machine lets them. */
const tokenTimeoutMs = 60_000;

export class WatchedProgram {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  /** Rejects when the process ends. */
  readonly failed: Promise<never>;
  #output = '';
  #ended: string | undefined;

  constructor(file: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
    this.#child = fork(file, args, {
      cwd,
      env: { ...process.env, ...env, HAWSER_TEST_KEY: Buffer.from(key.key).toString('hex') },
      execArgv: ['--import', watched],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = `${this.#output}${text}`.slice(-20_000);
      });
    this.#closed = once(this.#child, 'close');
    this.failed = this.#closed.then(([code, signal]) => {
      this.#ended = `${signal ?? `exit code ${code}`}`;
      throw new Error(`the process ended with ${this.#ended}: ${this.#output.slice(-3000)}`);
    });
    // Whoever waits for something else as well hears of it; nobody else has to.
    this.failed.catch(() => undefined);
  }

  /** What it printed last. */
  get output(): string {
    return this.#output;
  }

  /** @throws Error with its output when the process has ended. */
  async report(): Promise<Report> {
    const answered = once(this.#child, 'message');
    // A process that ends meanwhile is told of by `failed`.
    if (this.#child.connected) this.#child.send('report', () => undefined);
    const [report] = await Promise.race([answered, this.failed]);
    return report;
  }

  /** Kills it. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}

/** A token for one of the servers of a program. */
export function tokenFor({ address, protocolId }: ServedAddress, clientId: bigint): Promise<Uint8Array> {
  return mintToken({
    protocolId: BigInt(protocolId),
    key,
    clientId,
    addresses: [address],
    timeoutMs: tokenTimeoutMs,
  });
}
