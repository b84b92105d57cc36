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
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { SessionClient } from '../../src/sessions/client/session-client.js';
import { sessionConnector } from '../../src/sessions/over-hawser.js';
import { openEtcdStore } from '../../src/sessions/store/etcd-store.js';
import { gatewayKey } from '../../src/sessions/store/keys.js';
import { openSessionStore } from '../../src/sessions/store/lmdb-store.js';
import type { SessionStore } from '../../src/sessions/store/store.js';
import { mintToken } from '../../src/token/index.js';
import { patience, patient, startMs } from './etcd/real-etcd.js';

const program = fileURLToPath(new URL('children/gateway.mjs', import.meta.url));
const key = Buffer.alloc(32, 7);
/** A gateway that says nothing for so long is gone, for its clients. */
const transportTimeoutMs = 2000;
/** Only to fail rather than to hang: for each thing that is waited for, and for a test. */
const limitMs = 120_000;
const testMs = 480_000;

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
  /** Once it has started for the first time. */
  address = '';

  constructor(name: string, place: Place) {
    this.name = name;
    this.#place = place;
    gateways.push(this);
  }

  async start(): Promise<void> {
    // While it does not run, nobody else is to get its port: not any that the system gives away, as to the sockets of the clients.
    if (this.address === '') this.address = await freeAddress();
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
    expect(line.address).toBe(address);
  }

  /** The first line of that kind, once it has come. @param skipped not one of the first so many lines. */
  async says(what: string, isIt: (line: Line) => boolean, skipped = 0): Promise<Line> {
    const found = (): Line | undefined => this.#lines.slice(skipped).find(isIt);
    await until(`${this.name} says ${what}`, () => {
      if (!this.#isRunning) throw new Error(`${this.name} has ended`);
      return found() !== undefined;
    });
    return found() ?? expect.fail();
  }

  get #isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** Whether it has said it. */
  hasSaid(isIt: (line: Line) => boolean): boolean {
    return this.#lines.some(isIt);
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
    const isRunning = this.#isRunning;
    this.#child = undefined;
    if (child === undefined || !isRunning) return;
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

/** The one with the most clients: those of a gateway that stood still for a moment have gone elsewhere, and stay there. */
function busiest(all: readonly Gateway[]): Gateway {
  const [most] = all.toSorted((a, b) => clientsOf(b).length - clientsOf(a).length);
  if (most === undefined) throw new Error('there is no gateway');
  expect(clientsOf(most).length).toBeGreaterThan(0);
  return most;
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
    etcd = await EtcdServers.start({ nodes: 1, args: patience });
  }, startMs);
  afterAll(async () => {
    await etcd?.kill();
  });

  test('kill -9 of a gateway: every client continues its session elsewhere, and no request is lost or counts twice', {
    timeout: testMs,
  }, async () => {
    const all = await startAll({ etcd: etcd.node.url }, ['a', 'b', 'c'], 20);
    const ids = counters.map(({ client }) => client.sessionId);
    const first = busiest(all);
    const lost = clientsOf(first);
    await first.kill();
    await areElsewhere(lost, first);
    // Under the name and address that it had; then those who went to the second one need it.
    await first.start();
    const second = busiest(all.filter((each) => each !== first));
    const next = clientsOf(second);
    await second.kill();
    await areElsewhere(next, second);
    expect(counters.map(({ client }) => client.sessionId)).toEqual(ids);
    await using store = await openEtcdStore({ hosts: etcd.node.url, ...patient });
    await expectCountedOnce(store);
  });

  test('a gateway that stands still for longer than its lease: what it still wants to commit is refused', {
    timeout: testMs,
  }, async () => {
    await using store = await openEtcdStore({ hosts: etcd.node.url, ...patient });
    const all = await startAll({ etcd: etcd.node.url }, ['d', 'e', 'f'], 10);
    const [slow] = counters;
    if (slow === undefined) return expect.fail();
    await slow.stop();
    let isAnswered = false;
    const answer = slow.ask('slow').then(() => {
      isAnswered = true;
    });
    answer.catch((error: unknown) => failures.push(error));
    const handles = (gateway: Gateway): boolean => gateway.hasSaid((line) => line.slow === true);
    // Where it is now: its client may have gone elsewhere before it asked.
    await until('a gateway handles the slow request', () => all.some(handles));
    const still = all.find(handles) ?? expect.fail();
    const others = all.filter((each) => each !== still);
    const clients = clientsOf(still);
    still.signal('SIGSTOP');
    await until('the slow request is handled elsewhere', () => {
      for (const other of others) other.order('go');
      return isAnswered;
    });
    await answer;
    // Before it goes on: later, those of another one that stands still for a moment may come back to it.
    await areElsewhere(clients, still);
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
    await allCountOn();
    const committed = await Promise.all(all.map((gateway) => gateway.stats()));
    await expectCountedOnce(store);
    const sum = committed.reduce((before, each) => before + each.committed, 0);
    expect(sum).toBeLessThanOrEqual(counters.reduce((before, { counted }) => before + counted, 0));
  });
});

test('kill -9 of a single gateway with a store on the disk: it is started again, and sessions go on', {
  timeout: testMs,
}, async () => {
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
