// Agents of this package and a manager, in one virtual time: what one sends arrives a little later at the other, in order.

import { HawserError } from '../../../src/base/errors.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import type { SyncAgent, SyncAgentOptions } from '../../../src/sync/agent/agent.js';
import { SyncClient } from '../../../src/sync/agent/sync-client.js';
import { MemoryQueue } from '../../../src/sync/queue/memory-queue.js';
import type { ManagerWorld } from './manager-world.js';

const delayMs = 2;

/** One agent with a queue of its own, whose network can be cut. */
export class RealAgent {
  readonly name: string;
  readonly queue = new MemoryQueue();
  readonly client: SyncClient;
  readonly agent: SyncAgent;
  /** Why it was told to wait. */
  readonly waits: string[] = [];
  readonly #world: ManagerWorld;
  #isCut = false;
  #cutNow: () => void = () => undefined;

  constructor(world: ManagerWorld, name: string, options: Partial<SyncAgentOptions> = {}) {
    this.#world = world;
    this.name = name;
    const { wheel } = world.time;
    this.client = new SyncClient({ connector: this.#connector, wheel, random: () => 0.5 });
    this.agent = this.client.agent({ module: 'fim', queue: this.queue, ...options });
    this.agent.on('waiting', ({ reason }) => this.waits.push(reason));
  }

  readonly #connector: Connector = async (attach) => {
    if (this.#isCut) throw new HawserError('ERR_HAWSER_TIMED_OUT', 'the network is cut');
    let open = true;
    const side = (other: () => MessageReceiver): MessageConnection => ({
      detectsLoss: true,
      close: () => this.#cutNow(),
      send: (message) => {
        if (!open) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
        const copy = new Uint8Array(message);
        this.#world.time.clock.setTimeout(() => {
          if (open) other().message(copy);
        }, delayMs);
        return true;
      },
    });
    const ofManager = this.#world.manager.accept(
      side(() => ofAgent),
      this.name,
    );
    const ofAgent = attach(side(() => ofManager));
    this.#cutNow = () => {
      if (!open) return;
      open = false;
      const lost = new HawserError('ERR_HAWSER_CONNECTION_LOST', 'the network was cut');
      ofManager.closed(lost);
      ofAgent.closed(lost);
    };
  };

  /** What is under way is lost, and nothing connects until `join`. */
  cut(): void {
    this.#isCut = true;
    this.#cutNow();
  }

  join(): void {
    this.#isCut = false;
  }

  /** Something for a DELTA to tell. */
  persist(count: number, data: Uint8Array): Promise<void> {
    return this.agent.persistDifferences(
      Array.from({ length: count }, (_, n) => ({
        id: `id-${n}`,
        operation: 'CREATE' as const,
        index: 'files',
        data,
      })),
    );
  }
}

/** Lets time pass until a promise is settled. */
export async function finished<T>(world: ManagerWorld, promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
  let isOver = false;
  const done = promise.finally(() => {
    isOver = true;
  });
  done.catch(() => undefined);
  while (!isOver && world.time.nowMs < limitMs) await world.pass(100);
  if (!isOver) throw new Error(`it is not over after ${limitMs} ms`);
  return done;
}
