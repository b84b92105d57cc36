// Gateways as processes of their own that are killed, started again and made to stand still while clients count: every client goes on with its
// session, and each request counts once.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../scripts/lib/etcd.mjs';
import { SessionClient } from '../../src/sessions/client/session-client.js';
import { sessionConnector } from '../../src/sessions/over-hawser.js';
import { openEtcdStore } from '../../src/sessions/store/etcd-store.js';
import { gatewayKey } from '../../src/sessions/store/keys.js';
import { openSessionStore } from '../../src/sessions/store/lmdb-store.js';
import type { SessionStore } from '../../src/sessions/store/store.js';
import { mintToken } from '../../src/token/index.js';

const program = fileURLToPath(new URL('children/gateway.mjs', import.meta.url));
const key = Buffer.alloc(32, 7);
/** A gateway that says nothing for so long is gone, for its clients. */
const transportTimeoutMs = 2000;
/** Only to fail rather than to hang. */
const limitMs = 60_000;

interface Line {
  readonly address?: string;
  readonly serving?: boolean;
  readonly slow?: boolean;
  readonly goesOn?: boolean;
  readonly problem?: string;
  readonly stats?: { readonly committed: number };
}

type Place = { readonly etcd: string } | { readonly lmdb: string };

/** Of clients that counted. */
const failures: unknown[] = [];

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await isSo())) {
    if (failures.length > 0) throw failures[0];
    if (performance.now() > endMs) throw new Error(`it never came to it: ${what}`);
    await delay(20);
  }
}

/** A gateway by its name and address, with one process after another. */
class Gateway {
  readonly name: string;
  readonly #place: Place;
  #child: ChildProcess | undefined;
  /** Of the present process. */
  #lines: Line[] = [];
  address = '127.0.0.1:0';

  constructor(name: string, place: Place) {
    this.name = name;
    this.#place = place;
    gateways.push(this);
  }

  async start(): Promise<void> {
    const { name: gateway, address } = this;
    const options = { ...this.#place, gateway, address, key: key.toString('hex') };
    const child = spawn(process.execPath, [program, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    const lines: Line[] = [];
    this.#lines = lines;
    createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line)));
    const line = await this.says('address', ({ address }) => address !== undefined);
    this.address = line.address ?? '';
  }

  /** The first line of that kind, once it has come. @param skipped not one of the first so many lines. */
  async says(what: string, isIt: (line: Line) => boolean, skipped = 0): Promise<Line> {
    const found = (): Line | undefined => this.#lines.slice(skipped).find(isIt);
    await until(`${this.name} says ${what}`, () => {
      if (this.#child?.exitCode !== null) throw new Error(`${this.name} has ended`);
      return found() !== undefined;
    });
    return found() ?? expect.fail();
  }

  get said(): number {
    return this.#lines.length;
  }

  get problems(): readonly string[] {
    return this.#lines.flatMap(({ problem }) => problem ?? []);
  }

  async stats(): Promise<NonNullable<Line['stats']>> {
    const before = this.said;
    this.order('stats');
    const { stats } = await this.says('stats', (line) => line.stats !== undefined, before);
    return stats ?? expect.fail();
  }

  order(line: string): void {
    this.#child?.stdin?.write(`${line}\n`);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const ended = once(child, 'close');
    child.kill('SIGKILL');
    await ended;
  }
}

/** A client that counts, one request after another. */
class Counter implements AsyncDisposable {
  readonly client: SessionClient;
  /** Where it is connected, or was last. */
  address = '';
  counted = 0;
  created = 0;
  #isOver = false;
  #counting: Promise<void> = Promise.resolve();

  constructor(clientId: bigint, addresses: readonly string[]) {
    const connector = sessionConnector(() =>
      mintToken({
        protocolId: 1n,
        key: { id: 1, key },
        clientId,
        addresses,
        timeoutMs: transportTimeoutMs,
      }),
    );
    this.client = new SessionClient({
      connector: (attach, signal, target, connectedTo) =>
        connector(attach, signal, target, (address) => {
          this.address = address;
          connectedTo(address);
        }),
      reconnection: { backoff: { initialMs: 100, maxMs: 1000 } },
    });
    this.client.on('connected', (_, continued) => {
      if (!continued) ++this.created;
    });
  }

  async start(): Promise<void> {
    await this.client.connect();
    this.#counting = this.#count();
    this.#counting.catch((error: unknown) => {
      if (!this.#isOver) failures.push(error);
    });
  }

  async #count(): Promise<void> {
    while (!this.#isOver) {
      await this.ask('count');
      await delay(5);
    }
  }

  get isCounting(): boolean {
    return !this.#isOver;
  }

  async ask(what: string): Promise<void> {
    const count = Number(Buffer.from(await this.client.request(Buffer.from(what))).toString());
    // Lost, it would be less; counted twice, more.
    expect(count).toBe(++this.counted);
  }

  /** Once what it asks is answered. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#counting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.client.close();
  }
}

const gateways: Gateway[] = [];
const counters: Counter[] = [];

async function startAll(
  place: Place,
  names: readonly string[],
  clients: number,
): Promise<readonly Gateway[]> {
  const all = names.map((name) => new Gateway(name, place));
  await Promise.all(all.map((gateway) => gateway.start()));
  const addresses = all.map(({ address }) => address);
  for (let n = 0; n < clients; ++n) {
    const first = n % addresses.length;
    counters.push(new Counter(BigInt(n + 1), [...addresses.slice(first), ...addresses.slice(0, first)]));
  }
  await Promise.all(counters.map((counter) => counter.start()));
  await allCountOn();
  return all;
}

/** Every client gets further. */
async function allCountOn(): Promise<void> {
  const counting = counters.filter(({ isCounting }) => isCounting);
  const wanted = counting.map((counter) => ({ counter, count: counter.counted + 3 }));
  await until('all clients count on', () => wanted.every(({ counter, count }) => counter.counted >= count));
}

function clientsOf({ address }: Gateway): readonly Counter[] {
  return counters.filter((counter) => counter.address === address);
}

/** Its clients go on elsewhere. */
async function areElsewhere(clients: readonly Counter[], { address }: Gateway): Promise<void> {
  await until('the clients are elsewhere', () =>
    clients.every((each) => each.address !== address && each.client.state === 'Connected'),
  );
  await allCountOn();
}

/** Each client has the session that it began with, and the store has counted what it has. */
async function expectCountedOnce(store: SessionStore): Promise<void> {
  await Promise.all(counters.map((counter) => counter.stop()));
  for (const { client, counted, created } of counters) {
    expect(created).toBe(1);
    const name = `a/count/${client.sessionId}`;
    const [entry] = await store.read({ from: name, to: `${name}\0` });
    expect(Buffer.from(entry?.value ?? []).toString()).toBe(`${counted}`);
  }
  expect(gateways.flatMap(({ problems }) => problems)).toEqual([]);
}

afterEach(async () => {
  failures.length = 0;
  for (const gateway of gateways) gateway.signal('SIGCONT');
  await Promise.all(counters.splice(0).map((counter) => counter[Symbol.asyncDispose]()));
  await Promise.all(gateways.splice(0).map((gateway) => gateway.kill()));
});

describe.skipIf(!hasEtcd)('three gateways with one etcd', () => {
  let etcd: EtcdServers;
  beforeAll(async () => {
    etcd = await EtcdServers.start({ nodes: 1 });
  });
  afterAll(async () => {
    await etcd?.kill();
  });

  test('kill -9 of a gateway: every client continues its session elsewhere, and no request is lost or counts twice', async () => {
    const place = { etcd: etcd.node.url };
    const [first, second] = await startAll(place, ['a', 'b', 'c'], 20);
    if (first === undefined || second === undefined) return expect.fail();
    const ids = counters.map(({ client }) => client.sessionId);
    const lost = clientsOf(first);
    expect(lost.length).toBeGreaterThan(0);
    await first.kill();
    await areElsewhere(lost, first);
    // Under the name and address that it had; then those who went to the second one need it.
    await first.start();
    const next = clientsOf(second);
    expect(next.length).toBeGreaterThan(0);
    await second.kill();
    await areElsewhere(next, second);
    expect(counters.map(({ client }) => client.sessionId)).toEqual(ids);
    await using store = await openEtcdStore({ hosts: etcd.node.url });
    await expectCountedOnce(store);
  });

  test('a gateway that stands still for longer than its lease: what it still wants to commit is refused', async () => {
    await using store = await openEtcdStore({ hosts: etcd.node.url });
    const all = await startAll({ etcd: etcd.node.url }, ['d', 'e', 'f'], 10);
    const [still, ...others] = all;
    if (still === undefined) return expect.fail();
    const clients = clientsOf(still);
    const [slow] = clients;
    if (slow === undefined) return expect.fail();
    await slow.stop();
    const answered = slow.ask('slow');
    await still.says('slow', (line) => line.slow === true);
    still.signal('SIGSTOP');
    let isAnswered = false;
    const answer = answered.then(() => {
      isAnswered = true;
    });
    await until('the slow request is handled elsewhere', () => {
      for (const other of others) other.order('go');
      return isAnswered;
    });
    await answer;
    const name = gatewayKey(still.name);
    await until(
      'its lease ends',
      async () => (await store.read({ from: name, to: `${name}\0` })).length === 0,
    );
    const said = still.said;
    still.order('go');
    still.signal('SIGCONT');
    await still.says('that the handler goes on', ({ goesOn }) => goesOn === true, said);
    await still.says('serving', ({ serving }) => serving === true, said);
    await areElsewhere(clients, still);
    const committed = await Promise.all(all.map((gateway) => gateway.stats()));
    await expectCountedOnce(store);
    const sum = committed.reduce((before, each) => before + each.committed, 0);
    expect(sum).toBeLessThanOrEqual(counters.reduce((before, { counted }) => before + counted, 0));
  });
});

test('kill -9 of a single gateway with a store on the disk: it is started again, and sessions go on', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hawser-failover-'));
  try {
    const lmdb = join(directory, 'store');
    const [gateway] = await startAll({ lmdb }, ['alone'], 5);
    if (gateway === undefined) return expect.fail();
    const ids = counters.map(({ client }) => client.sessionId);
    for (let round = 0; round < 2; ++round) {
      await gateway.kill();
      await gateway.start();
      await allCountOn();
    }
    expect(counters.map(({ client }) => client.sessionId)).toEqual(ids);
    await Promise.all(counters.map((counter) => counter.stop()));
    await gateway.kill();
    await using store = await openSessionStore(lmdb);
    await expectCountedOnce(store);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
