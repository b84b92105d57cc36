// The demonstration and the two processes that it starts talk in JSON over the channel of child_process.fork: requests with
// numbers and their answers one way, events the other.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CommandError, describeError } from './errors.js';

/** What can be asked of a process, by name: functions of at most one argument that goes through JSON, as does the result. */
type Requests = { readonly [name: string]: (argument: never) => unknown };

interface Request {
  readonly id: number;
  readonly request: string;
  readonly argument: unknown;
}

/** What comes back. */
interface Reply {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: string;
  readonly event?: string;
  readonly value?: unknown;
}

/** The child's side: answers requests until the parent is gone, then ends the process. @returns how to send an event. */
export function serveParent<R extends Requests>(requests: R): (event: string, value: unknown) => void {
  const reply = (message: Reply): void => {
    // The parent may be gone before the child has noticed.
    if (process.connected) process.send?.(message);
  };
  // Ctrl-C reaches every process of the terminal; the parent says when this one has to end.
  process.on('SIGINT', () => undefined);
  process.on('disconnect', () => process.exit());
  process.on('message', ({ id, request, argument }: Request) => {
    const run = requests[request];
    Promise.resolve()
      // The argument is what the typed `request` of the parent took.
      .then(() => run?.(argument as never))
      .then(
        (result) => reply({ id, result }),
        (error: unknown) => reply({ id, error: describeError(error) }),
      );
  });
  return (event, value) => reply({ event, value });
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The parent's side: a command of ours in a process of its own. */
export class ControlledProcess<R extends Requests> {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onEvent: (event: string, value: unknown) => void;
  readonly #ended: Promise<void>;
  /** Rejects when the process ends, for whatever reason. */
  readonly failed: Promise<never>;
  #rejectFailed: (error: Error) => void = () => undefined;
  #errors = '';
  #lastId = 0;
  #failure: Error | undefined;

  /**
   * Starts `hawser <args>`.
   *
   * @param env is added to this process's own; keys go here, since the command line is for all to see.
   * @param execArgv options of Node itself.
   */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    execArgv: readonly string[],
    onEvent: (event: string, value: unknown) => void,
  ) {
    this.#name = args[0] ?? '';
    this.#onEvent = onEvent;
    this.failed = new Promise((_, reject) => {
      this.#rejectFailed = reject;
    });
    // Whoever waits hears of it; when nobody waits, the end was wanted.
    this.failed.catch(() => undefined);
    this.#child = fork(fileURLToPath(new URL('main.js', import.meta.url)), [...args], {
      env: { ...process.env, ...env },
      execArgv: [...execArgv],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#child.on('message', (message: Reply) => this.#receive(message));
    this.#ended = new Promise((resolve) => {
      // 'close' comes after all that it said on standard error, but never comes when this side has disconnected first.
      this.#child.once('close', (code, signal) => this.#fail(this.#reasonOfEnd(code, signal)));
      this.#child.once('exit', () => resolve());
      this.#child.once('error', (error) => {
        this.#fail(new CommandError(`cannot start the ${this.#name} process: ${error.message}`));
        resolve();
      });
    });
  }

  /** @throws CommandError (rejects) when the process refuses or ends before it has answered. */
  request<K extends keyof R & string>(
    name: K,
    ...[argument]: Parameters<R[K]>
  ): Promise<Awaited<ReturnType<R[K]>>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      // Both ends are this package, of one version: what comes back is what the child's function of that name returned.
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, request: name, argument } satisfies Request);
    });
  }

  /** Lets the process end, by force when it does not within `graceMs`. */
  async end(graceMs: number): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await this.#ended;
    clearTimeout(timer);
  }

  #receive({ id, result, error, event, value }: Reply): void {
    if (event !== undefined) this.#onEvent(event, value);
    if (id === undefined) return;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new CommandError(`the ${this.#name} process failed: ${error}`));
  }

  #reasonOfEnd(code: number | null, signal: NodeJS.Signals | null): Error {
    // Its own message begins as ours would.
    const said = this.#errors.trim().replace(/^hawser( \w+)?: /, '');
    return new CommandError(said === '' ? `the ${this.#name} process ended early (${signal ?? code})` : said);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#rejectFailed(error);
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
