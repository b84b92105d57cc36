// Documents that a FULL tells while the queue hears of them, and an agent that is killed meanwhile: with either queue no ghost is left.

import { describe, expect, test } from 'vitest';
import type { SyncAgent, SyncResult } from '../../../src/sync/agent/agent.js';
import { SyncClient } from '../../../src/sync/agent/sync-client.js';
import type { SyncQueue } from '../../../src/sync/queue/queue.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { type QueueKind, queueKinds, waiting, withFolder } from '../queue/queues.js';
import { bytesOf } from './agent-world.js';
import { type Answers, endAck, FakeManager, reqRet } from './fake-manager.js';

/** An agent whose process can be killed. */
class Site {
  readonly manager: FakeManager = new FakeManager(() => 0);
  readonly #kind: QueueKind;
  readonly #folder: string;
  #queue: SyncQueue | undefined;
  #client: SyncClient | undefined;
  #agent: SyncAgent | undefined;

  constructor(kind: QueueKind, folder: string) {
    this.#kind = kind;
    this.#folder = folder;
  }

  get agent(): SyncAgent {
    if (this.#agent === undefined) throw new Error('there is no agent yet');
    return this.#agent;
  }

  get queue(): SyncQueue {
    if (this.#queue === undefined) throw new Error('there is no queue yet');
    return this.#queue;
  }

  async begin(): Promise<void> {
    this.#queue ??= await this.#kind.open(this.#folder);
    const { wheel } = new VirtualTime();
    this.#client = new SyncClient({ connector: this.manager.connector, wheel, random: () => 0 });
    this.#agent = this.#client.agent({ module: 'fim', queue: this.#queue });
    await this.#client.connect();
  }

  /** The process is gone; the next one has what is on the disk, or what is in the queue that has none. */
  async killAndBegin(): Promise<void> {
    await this.#client?.close();
    if (this.#kind.name === 'LmdbQueue') {
      await this.#queue?.close();
      this.#queue = undefined;
    }
    this.manager.forget();
    this.manager.answers = {};
    await this.begin();
  }

  async close(): Promise<void> {
    await this.#client?.close();
    await this.#queue?.close();
  }

  persist(operation: 'CREATE' | 'DELETE'): Promise<void> {
    return this.agent.persistDifference('x', operation, 'files', bytesOf(operation === 'DELETE' ? '' : '{}'));
  }

  /** A FULL with the document in it; the manager has all of it, and answers End like that. */
  async fullUntilEnd(answer: NonNullable<Answers['End']>): Promise<{ readonly call: Promise<SyncResult> }> {
    this.manager.answers = { End: answer };
    this.agent.persistDifferenceInMemory('x', 'CREATE', 'files', bytesOf('{}'));
    const call = this.agent.synchronizeModule('FULL');
    while (this.manager.types.at(-1) !== 'End') await new Promise((resolve) => setImmediate(resolve));
    return { call };
  }

  async expectDeleteTold(): Promise<void> {
    await this.persist('DELETE');
    expect(waiting(this.queue)).toEqual(['pending DELETE files/x']);
    this.manager.forget();
    expect(await this.agent.synchronizeModule('DELTA')).toMatchObject({ success: true, items: 1 });
    expect(this.manager.items.map(({ item }) => item)).toMatchObject([{ id: 'x', operation: 'Delete' }]);
  }
}

describe.each(queueKinds)('with a $name, a document that a FULL tells', (kind) => {
  const withSite = (run: (site: Site) => Promise<void>): Promise<void> =>
    withFolder(async (folder) => {
      const site = new Site(kind, folder);
      await site.begin();
      try {
        await run(site);
      } finally {
        await site.close();
      }
    });

  test('and that is created meanwhile is told as deleted, though the agent is killed before EndAck', async () => {
    await withSite(async (site) => {
      await site.fullUntilEnd(() => []);
      await site.persist('CREATE');
      await site.killAndBegin();
      await site.expectDeleteTold();
    });
  });

  test.each([
    ['Offline', endAck({ status: 'Offline' })],
    ['Protocol', reqRet([[3, 2]])],
  ])(
    'and that is created after the call failed by %s is told as deleted: the manager may apply it yet',
    async (reason, answer) => {
      await withSite(async (site) => {
        const { call } = await site.fullUntilEnd(() => [answer]);
        expect(await call).toMatchObject({ success: false, reason });
        site.agent.clearInMemoryData();
        await site.persist('CREATE');
        await site.killAndBegin();
        await site.expectDeleteTold();
      });
    },
  );

  test.each([
    ['was told', endAck()],
    ['was refused', endAck({ status: 'Error' })],
  ])(
    'and that is created after it %s is new: created and deleted, nothing is told of it',
    async (_, answer) => {
      await withSite(async (site) => {
        const { call } = await site.fullUntilEnd(() => [answer]);
        await call;
        site.agent.clearInMemoryData();
        await site.persist('CREATE');
        await site.persist('DELETE');
        expect(waiting(site.queue)).toEqual([]);
      });
    },
  );
});
