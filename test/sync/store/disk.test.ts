// When the disk has what a manager tells an agent is done. With a process of its own, of which every write and sync is seen.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/sync/store/lmdb-store.js';
import { decodeMessage, encodeMessage } from '../../../src/sync/wire/codec.js';
import type { AgentMessage, EndAck, StartAck } from '../../../src/sync/wire/messages.js';
import { acknowledgedTooEarly, type DiskEvent, DiskShim } from '../disk-shim.js';
import { itemOf, startOf } from '../manager/fake-agent.js';

const program = fileURLToPath(new URL('children/wire-manager.mjs', import.meta.url));

/**
 * The row of the last session applied, which the last transaction of a commit writes, is the module and then the nonce: of module "payload:7"
 * and a nonce whose first byte is ";", it is what the shim finds in writes. Nothing that is written before has both.
 */
const semicolon = BigInt(';'.charCodeAt(0)) << 56n;

/** A manager in a process of its own, under the shim. */
class WireManager {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, (message: ReturnType<typeof decodeMessage>) => void>();
  readonly open: Promise<unknown>;
  /** Rejects when the process ends before it was told to. */
  readonly #ended: Promise<never>;
  #isEnding = false;

  constructor(path: string, shim: DiskShim) {
    this.#child = spawn(process.execPath, [program, path, shim.marks], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...shim.environment },
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('the child has no output');
    const lines = createInterface({ input: stdout });
    this.#ended = once(this.#child, 'close').then(() => {
      if (this.#isEnding) return new Promise<never>(() => undefined);
      throw new Error('the manager has ended');
    });
    this.#ended.catch(() => undefined);
    this.open = Promise.race([once(lines, 'line'), this.#ended]);
    lines.on('line', (line) => {
      const [agent = '', text = ''] = line.split(' ');
      if (text !== '') this.#waiting.get(agent)?.(decodeMessage(Buffer.from(text, 'base64')));
    });
  }

  /** One session of an agent, whose module and nonce are the number. @returns its id, and how it ended. */
  async session(agent: string, number: number, items: number): Promise<[bigint, EndAck]> {
    const generation = BigInt(number);
    const start = startOf({
      module: `payload:${number}`,
      size: BigInt(items),
      nonce: semicolon | generation,
      generation,
    });
    const { session } = await this.#ask(agent, start, (message) => message.type === 'StartAck');
    for (let seq = 0; seq < items; ++seq) this.#tell(agent, itemOf(session, seq));
    const isEnd = (message: object): boolean => 'status' in message && message.status !== 'Processing';
    const end = await this.#ask(agent, { type: 'End', session }, isEnd);
    if (end.type !== 'EndAck') throw new Error(`the manager said ${end.type}`);
    return [session, end];
  }

  #tell(agent: string, message: AgentMessage): void {
    this.#child.stdin?.write(`${agent} ${Buffer.from(encodeMessage(message)).toString('base64')}\n`);
  }

  #ask(
    agent: string,
    message: AgentMessage,
    isAnswer: (message: ReturnType<typeof decodeMessage>) => boolean,
  ): Promise<StartAck | EndAck> {
    const answer = new Promise<StartAck | EndAck>((resolve) => {
      this.#waiting.set(agent, (heard) => {
        if (!isAnswer(heard) || (heard.type !== 'StartAck' && heard.type !== 'EndAck')) return;
        this.#waiting.delete(agent);
        resolve(heard);
      });
      this.#tell(agent, message);
    });
    return Promise.race([answer, this.#ended]);
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    this.#child.stdin?.end();
    await once(this.#child, 'close');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** The marks are what was sent: an EndAck Ok becomes "ack N". @param numbers by agent and session. */
function withAcks(events: readonly DiskEvent[], numbers: ReadonlyMap<string, number>): DiskEvent[] {
  return events.map((event) => {
    if (event.at !== 'mark') return event;
    const [agent = '', text = ''] = event.text.split(' ');
    const message = decodeMessage(Buffer.from(text, 'base64'));
    if (message.type !== 'EndAck' || message.status !== 'Ok') return event;
    return { at: 'mark', text: `ack ${numbers.get(`${agent} ${message.session}`)}` };
  });
}

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-store-disk-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(process.platform !== 'linux')('the disk of a store', () => {
  it('has all of a session, and that it is the last one applied, before EndAck Ok leaves the manager', async () => {
    using shim = new DiskShim();
    const path = join(directory, 'store');
    const manager = new WireManager(path, shim);
    const numbers = new Map<string, number>();
    try {
      await manager.open;
      const run = async (agent: string, first: number, items: readonly number[]): Promise<void> => {
        for (const [n, count] of items.entries()) {
          const [session, end] = await manager.session(agent, first + n, count);
          expect(end).toMatchObject({ status: 'Ok', rejected: 0n });
          numbers.set(`${agent} ${session}`, first + n);
        }
      };
      // Small ones, each in one transaction, alone and at the same time; and some that are applied in many.
      await run('a', 10, [1, 1]);
      await Promise.all([
        run('b', 20, [1, 2, 3, 4, 5]),
        run('c', 30, [5, 4, 3, 2, 1]),
        run('d', 40, [3000, 1]),
      ]);
      await run('e', 50, [5000]);
      await manager.end();
    } finally {
      manager.kill();
    }
    const events = withAcks(shim.events(), numbers);
    const acks = events.flatMap((event) => (event.at === 'mark' ? /^ack \d+$/.exec(event.text) : []));
    expect(acks.filter((ack) => ack !== null).length).toBe(15);
    expect(acknowledgedTooEarly(events)).toEqual([]);

    const store = await openStore(path);
    const counts = Array.from(store.agents(), (agent) => store.usageOf(agent).count);
    expect(counts).toEqual([1, 5, 5, 3000, 5000]);
    expect(await store.check()).toEqual([]);
    await store.close();
  });
});
