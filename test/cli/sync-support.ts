// A manager in a process of its own, and what its store holds in the end.

import { expect } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { openStore } from '../../src/sync/store/lmdb-store.js';
import { jsonLines, type Outcome, RunningCommand } from './support.js';

/** Somebody's server key. */
export const serverKey = 'hawser-key-1:7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8';

/** A manager on a store, which writes JSON. */
export class TestManager implements AsyncDisposable {
  readonly command: RunningCommand;
  readonly address: string;
  readonly store: string;

  /** @param listen where it listens; by default an address that nobody else gets, so that another can be started there after it. */
  static async start(store: string, listen?: string, ...args: string[]): Promise<TestManager> {
    const address = listen ?? (await freeAddress());
    const command = new RunningCommand(
      ['sync', 'manager', '--store', store, '--listen', address, '--json', ...args],
      { HAWSER_KEY: serverKey },
    );
    const [line] = await command.sees(/^\{"event":"listening".*\}$/m);
    return new TestManager(command, JSON.parse(line), store);
  }

  private constructor(command: RunningCommand, listening: { readonly address: string }, store: string) {
    this.command = command;
    this.address = listening.address;
    this.store = store;
  }

  /** Begins `hawser sync push` with these arguments, to this manager. */
  begin(...args: string[]): RunningCommand {
    return new RunningCommand(['sync', 'push', '--to', this.address, ...args], { HAWSER_KEY: serverKey });
  }

  /** As `begin`, to the end. */
  push(...args: string[]): Promise<Outcome> {
    return this.begin(...args).outcome;
  }

  /** As `push` with --json, which has to succeed. @returns the result. */
  async pushed(...args: string[]): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await this.push('--json', ...args);
    expect([code, stderr]).toEqual([0, '']);
    return jsonLines(stdout)[0] ?? expect.fail('no result');
  }

  /**
   * Resolves once some items of a session have arrived, and not all. It is told of each second: the session has to go on for many times as
   * long, whatever stands still meanwhile.
   */
  async isReceiving(): Promise<void> {
    await this.command.sees(/"sessions":1,.*"itemsReceived":[1-9]/);
  }

  /** Ctrl-C. @returns all that it wrote. */
  async end(): Promise<Record<string, unknown>[]> {
    const { code, stdout, stderr } = await this.command.interrupt();
    expect([code, stderr]).toEqual([0, '']);
    return jsonLines(stdout);
  }

  /** As when its machine fails. */
  async kill(): Promise<void> {
    this.command.kill('SIGKILL');
    await this.command.outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** What a push has told on standard error, but for how far it was, if it took longer than five seconds, and that it tried again. */
export function toldBeside({ stderr }: Outcome): string {
  return stderr.replaceAll(
    /^(?:reading: .* documents|\d+ % .* of .* items, .*|.*; trying again in [\d.]+ s)\n/gm,
    '',
  );
}

/** The documents in a store that nobody has open, by agent and by index and id: each as the text that it was. */
export async function documentsIn(path: string): Promise<Record<string, string>[]> {
  const store = await openStore(path);
  try {
    const documentsOf = (agent: string): Record<string, string> =>
      Object.fromEntries(
        Array.from(store.documents(agent), ({ index, id, data }) => [
          `${index}/${id}`,
          Buffer.from(data).toString(),
        ]),
      );
    return Array.from(store.agents(), documentsOf);
  } finally {
    await store.close();
  }
}
