// Runs a program of the user's: without a shell, within bounds, and never longer than its caller waits.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '../../base/clock.js';

/** A program and what it is given. */
export interface ProgramCall {
  /** The program and its arguments; never key material, which every user of the machine could read there. */
  readonly command: readonly string[];
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** For its standard input, in order; valid until the promise of {@link runProgram} settles. */
  readonly input: readonly Uint8Array[];
  /** Ends it: SIGTERM, and SIGKILL after `killAfterMs`. */
  readonly signal: AbortSignal;
  readonly killAfterMs: number;
  /** How much is kept of each of its outputs; what is beyond is read and dropped, so that it does not wait for us. */
  readonly maxOutputBytes: number;
  /** Of `killAfterMs`; that of the system by default. */
  readonly clock?: Clock;
}

/** How a program ended. */
export interface ProgramResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Whether it was ended because the caller's signal aborted. */
  readonly aborted: boolean;
}

/** How long after its end what it has started may keep its outputs open, in milliseconds. */
const lingerMs = 500;

/**
 * @returns when the program has ended, with its outputs.
 * @throws the error of the system (rejects) when it cannot be started.
 */
export async function runProgram(call: ProgramCall): Promise<ProgramResult> {
  const [program = '', ...args] = call.command;
  // In a group of its own, so that what it has started is ended with it.
  const child = spawn(program, args, { env: { ...call.environment }, stdio: 'pipe', detached: true });
  const outputs = [new BoundedOutput(child.stdout, call), new BoundedOutput(child.stderr, call)] as const;
  const clock = call.clock ?? systemClock;
  let timer: ReturnType<Clock['setTimeout']> | undefined;
  const end = (): void => {
    signalGroup(child, 'SIGTERM');
    timer = clock.setTimeout(() => signalGroup(child, 'SIGKILL'), call.killAfterMs);
  };
  try {
    return await new Promise<ProgramResult>((resolve, reject) => {
      child.once('error', reject);
      child.once('spawn', () => {
        if (call.signal.aborted) end();
        else call.signal.addEventListener('abort', end, { once: true });
      });
      child.once('exit', (code, signal) => {
        // What it had started and left behind has had its warning too.
        if (call.signal.aborted) signalGroup(child, 'SIGKILL');
        const linger = clock.setTimeout(() => {
          for (const output of outputs) output.stop();
        }, lingerMs);
        child.once('close', () => {
          linger.clear();
          const [stdout, stderr] = [outputs[0].bytes(), outputs[1].bytes()];
          resolve({ code, signal, stdout, stderr, aborted: call.signal.aborted });
        });
      });
      // A program that does not read its input, or ends before that, is known by how it ends.
      child.stdin.on('error', () => child.stdin.destroy());
      for (const piece of call.input) child.stdin.write(piece);
      child.stdin.end();
    });
  } finally {
    timer?.clear();
    call.signal.removeEventListener('abort', end);
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // All of it has ended.
  }
}

/** The beginning of an output. */
class BoundedOutput {
  readonly #stream: Readable;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(stream: Readable, { maxOutputBytes }: ProgramCall) {
    this.#stream = stream;
    stream.on('data', (piece: Uint8Array) => {
      const kept = piece.subarray(0, maxOutputBytes - this.#length);
      if (kept.length === 0) return;
      this.#pieces.push(kept);
      this.#length += kept.length;
    });
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }

  stop(): void {
    this.#stream.destroy();
  }
}
