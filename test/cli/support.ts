// Runs the built command as users do: in a process of its own.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
if (!existsSync(main)) throw new Error(`${main} is missing: run "npm run setup" first`);

export const ansiEscape = '\u001b';

/** Arguments of a ping for one message. It connects and hears the echo at once, or within a minute if a process stands still. */
export const once = ['--count', '1', '--interval', '1m', '--connect-timeout', '1m'];

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export class RunningCommand {
  readonly outcome: Promise<Outcome>;
  readonly #child: ChildProcessWithoutNullStreams;
  #stdout = '';
  #stderr = '';
  #hasEnded = false;
  /** Who waits for more output, or for the end. */
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { HAWSER_KEY: _, ...inherited } = process.env;
    this.#child = spawn(process.execPath, [main, ...args], { env: { ...inherited, ...env } });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#onOutput();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#onOutput();
    });
    this.outcome = new Promise((resolve) => {
      // Its last output may come after the exit, but not after this.
      this.#child.once('close', (code) => {
        this.#hasEnded = true;
        this.#onOutput();
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  #onOutput(): void {
    for (const look of this.#waiting) look();
    this.#waiting.clear();
  }

  /** Resolves with the match once standard output has it. */
  sees(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#find(pattern, () => this.#stdout);
  }

  /** Resolves with the match once standard error has it. */
  complains(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#find(pattern, () => this.#stderr);
  }

  async #find(pattern: RegExp, output: () => string): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(output());
      if (match !== null) return match;
      if (this.#hasEnded) {
        throw new Error(`ended without ${pattern}: ${JSON.stringify(await this.outcome)}`);
      }
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  write(text: string): void {
    this.#child.stdin.end(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Presses Ctrl-C, and waits for the end. */
  interrupt(): Promise<Outcome> {
    this.kill('SIGINT');
    return this.outcome;
  }
}

export function hawser(...args: string[]): Promise<Outcome> {
  return new RunningCommand(args).outcome;
}

/** The command is refused as wrong usage, in one line that ends with where its help is. */
export async function expectWrongUsage(args: readonly string[], complaint: string): Promise<void> {
  const [command] = args;
  expect(await hawser(...args)).toEqual({
    code: 2,
    stdout: '',
    stderr: `hawser ${command}: ${complaint} (see "hawser ${command} --help")\n`,
  });
}

/** What was written as a line of JSON each. */
export function jsonLines(stdout: string): Record<string, unknown>[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** A folder of the test file's own, until its tests are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-cli-'));
  afterAll(() => rm(folder, { recursive: true }));
  return folder;
}

const onFreePorts = [
  'gateway',
  '--listen=127.0.0.1:0',
  '--http=127.0.0.1:0',
  '--admin=off',
  '--control-socket=off',
];

/** A gateway on free ports that writes for people; further options win over these. */
export function gatewayForPeople(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningCommand {
  return new RunningCommand([...onFreePorts, ...args], env);
}

export interface Listening {
  readonly address: string;
  readonly http: string;
  readonly wires: readonly string[];
  readonly netcodeTokensFrom?: string;
}

/** A gateway for development that writes JSON. Nobody else gets its ports, so that another can be started there after it. */
export class TestGateway implements AsyncDisposable {
  readonly command: RunningCommand;
  /** The event `listening`. */
  readonly listening: Listening;
  readonly address: string;
  readonly http: string;

  static async start(...args: string[]): Promise<TestGateway> {
    const own = [`--listen=${await freeAddress()}`, `--http=${await freeAddress()}`];
    const command = new RunningCommand([...onFreePorts, ...own, '--json', ...args]);
    const [line] = await command.sees(/^\{"event":"listening".*\}$/m);
    return new TestGateway(command, JSON.parse(line));
  }

  private constructor(command: RunningCommand, listening: Listening) {
    this.command = command;
    this.listening = listening;
    this.address = listening.address;
    this.http = listening.http;
  }

  get tokenUrl(): string {
    return `${this.http}/token`;
  }

  /** Begins `hawser` with these arguments, and tokens from this gateway. */
  begin(...args: string[]): RunningCommand {
    return new RunningCommand([...args, '--token-url', this.tokenUrl]);
  }

  /** As `begin`, to the end. */
  run(...args: string[]): Promise<Outcome> {
    return this.begin(...args).outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.command.kill('SIGKILL');
    await this.command.outcome;
  }
}
