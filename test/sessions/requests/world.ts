// Gateways over one store in memory, in virtual time.

import type { RequestContext, RequestOutcome } from '../../../src/sessions/server/handler.js';
import type { SessionServerOptions } from '../../../src/sessions/server/options.js';
import { prefixes, prefixRange } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { FaultyStore } from './faulty-store.js';
import { TestGateway, textOf } from './test-gateway.js';

export class World {
  readonly time = new VirtualTime();
  readonly space = new MemorySessionStore({ clock: this.time.clock });
  readonly gateways: TestGateway[] = [];
  #count = 0;

  /** One more gateway with a store of its own that shares what it keeps. */
  gateway(options: Omit<SessionServerOptions, 'store'> = {}): Promise<TestGateway> {
    return this.#begin(new MemorySessionStore({ sharedWith: this.space }), options);
  }

  /** The only gateway of the store: nobody tells it of changes. */
  onlyGateway(options: Omit<SessionServerOptions, 'store'> = {}): Promise<TestGateway> {
    return this.#begin(this.space, options);
  }

  async #begin(inner: SessionStore, options: Omit<SessionServerOptions, 'store'>): Promise<TestGateway> {
    const store = new FaultyStore(inner, this.time.clock);
    const gateway = new TestGateway(this.time, store, { gateway: `gateway-${++this.#count}`, ...options });
    await gateway.start();
    await this.pass(0);
    store.transactions.length = 0;
    store.reads = 0;
    this.gateways.push(gateway);
    return gateway;
  }

  /** Lets a time pass, with everything that happens meanwhile. */
  async pass(ms: number): Promise<void> {
    await this.time.passTo(this.time.nowMs + ms);
  }

  /** What handlers have written under a key. */
  async value(key: string): Promise<string | undefined> {
    const stored = prefixes.application + key;
    const [entry] = await this.space.read({ from: stored, to: `${stored}\0` });
    return entry && textOf(entry.value);
  }

  /** The keys that begin with a prefix. */
  async keys(prefix: string): Promise<string[]> {
    return (await this.space.read(prefixRange(prefix))).map(({ key }) => key);
  }

  /** Ends everything. @returns timers that are still armed: there must be none. */
  async close(): Promise<number> {
    for (const gateway of this.gateways) gateway.kill();
    await this.pass(0);
    return this.time.wheel.size;
  }
}

/** Adds one to a number in the store, and answers with it. */
export async function countUp({ get }: RequestContext, key = 'count'): Promise<RequestOutcome> {
  const count = Number(textOf(await get(key))) + 1;
  const bytes = Buffer.from(`${count}`);
  return { result: bytes, writes: new Map([[key, bytes]]) };
}

/** Answers with the payload. */
export function echo({ payload }: RequestContext): RequestOutcome {
  return { result: payload };
}
