// Several gateways with one etcd, each a process of its own: what clients see of it, and what sessions ls, show and expire say.

import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EtcdNode, EtcdServers, hasEtcd } from '../../scripts/lib/etcd.mjs';
import { decodeToken } from '../../src/token/index.js';
import { hawserHere } from './in-process.js';
import { TestClient } from './sessions-support.js';
import { gatewayForPeople, jsonLines, TestGateway } from './support.js';
import { serverKey } from './sync-support.js';

describe.skipIf(!hasEtcd)('with etcd', () => {
  let etcd: EtcdServers;
  let namespaces = 0;
  beforeAll(async () => {
    etcd = await EtcdServers.start({ nodes: 1 });
  });
  afterAll(() => etcd.kill());

  /** A store of one test. */
  function newStore(): string {
    return `etcd://${etcd.node.url.replace('http://', '')}/test-${++namespaces}`;
  }

  function start(store: string, ...args: string[]): Promise<TestGateway> {
    return TestGateway.start('--store', store, '--key', serverKey, ...args);
  }

  async function list(store: string): Promise<Record<string, unknown>[]> {
    const { code, stdout, stderr } = await hawserHere('sessions', 'ls', '--store', store, '--json');
    expect([code, stderr]).toEqual([0, '']);
    return stdout === '' ? [] : jsonLines(stdout);
  }

  async function addressesOf({ tokenUrl }: TestGateway): Promise<string[]> {
    const response = await fetch(tokenUrl, { method: 'POST' });
    const { token }: { token: string } = JSON.parse(await response.text());
    return decodeToken(token).addresses.map(({ host, port }) => `${host}:${port}`);
  }

  /** Resolves once the tokens of a gateway list these addresses: it hears of others from the store. */
  async function lists(gateway: TestGateway, addresses: readonly string[]): Promise<void> {
    const wanted = [...addresses].sort().join();
    while ((await addressesOf(gateway)).sort().join() !== wanted) await delay(20);
  }

  test.concurrent('an etcd that is gone for a while ends no session: requests wait, and the gateway says so', () =>
    withOwnEtcd(async (node, store) => {
      await using gateway = await TestGateway.start('--store', store, '--key', serverKey);
      await using client = TestClient.with(gateway.address, '--timeout', '1m', '--rate', '20');
      await client.command.sees(/"answersPerSecond":[1-9]/);
      await node.kill();
      await gateway.command.sees(/^\{"event":"serving","serving":false\}$/m);
      node.start();
      await gateway.command.sees(/"serving":false\}.*^\{"event":"serving","serving":true\}$/ms);
      await client.command.sees(/"answersPerSecond":0,.*"answersPerSecond":[1-9]/s);
      expect(await client.leave()).toMatchObject({ failed: 0, reconnections: 0 });
    }));

  test.concurrent('ls waits for an etcd that stands still for two seconds', () =>
    withOwnEtcd(async (node, store) => {
      await node.pause();
      const listed = hawserHere('sessions', 'ls', '--store', store);
      await delay(2000);
      node.resume();
      expect(await listed).toMatchObject({ code: 0, stderr: '' });
    }));

  test.concurrent('kill -9 of a gateway: the session goes on at another, and the store says so', async () => {
    const store = newStore();
    await using first = await start(store);
    await using second = await start(store);
    const both = `${first.address},${second.address}`;
    await using client = TestClient.with(both, '--timeout', '10s', '--rate', '50');
    const { sessionId } = await client.event('connected');
    const [session] = await list(store);
    expect(session).toMatchObject({ sessionId, gateway: first.address, gatewayLives: true });
    const shown = await hawserHere('sessions', 'show', String(sessionId), '--store', store);
    expect(shown.stdout).toMatch(new RegExp(`^gateway lives +yes\nreached at +${first.address}$`, 'm'));
    await client.command.sees(/"answersPerSecond":[1-9]/);
    first.command.kill('SIGKILL');
    expect(await client.event('connected', 2)).toMatchObject({
      sessionId,
      continued: true,
      address: second.address,
    });
    expect(await list(store)).toMatchObject([{ sessionId, gateway: second.address, gatewayLives: true }]);
    expect(await client.leave()).toMatchObject({ failed: 0 });
    await second.command.sees(/"sessions":0,"connected":0,.*"closed":1,/);
    expect(await list(store)).toEqual([]);
  });

  test.concurrent('a gateway that is shut down gives its sessions up at once', async () => {
    const store = newStore();
    await using first = await start(store);
    await using second = await start(store);
    await using client = TestClient.with(`${first.address},${second.address}`);
    const { sessionId } = await client.event('connected');
    expect((await first.command.interrupt()).code).toBe(0);
    expect(await client.event('connected', 2)).toMatchObject({ sessionId, address: second.address });
    expect(await client.event('redirected')).toMatchObject({ reason: 'Shutdown' });
    // Its session stays: it has not closed it.
    client.command.kill('SIGKILL');
    expect((await second.command.interrupt()).code).toBe(0);
    const text = await hawserHere('sessions', 'ls', '--store', store);
    expect(text.stdout).toMatch(new RegExp(`^${sessionId} .* ${second.address} \\(gone\\) `, 'm'));
    expect(text.stdout).toMatch(/^1 sessions, 1 of gateways that are gone$/m);
  });

  test.concurrent('expire ends a session that a gateway serves: its client hears that it is over', async () => {
    const store = newStore();
    await using gateway = await start(store);
    await using client = TestClient.start(gateway);
    const { sessionId } = await client.event('connected');
    const expired = await hawserHere('sessions', 'expire', String(sessionId), '--store', store);
    expect(expired).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        new RegExp(
          `^session ${sessionId} of \\d+ is removed; gateway ${gateway.address}, which has it, tells`,
        ),
      ),
      stderr: '',
    });
    await client.event('expired');
    expect((await client.command.outcome).code).toBe(1);
    expect(await list(store)).toEqual([]);
  });

  test.concurrent('tokens list the gateways that live, the asked one first', async () => {
    const store = newStore();
    await using first = await start(store);
    expect(await addressesOf(first)).toEqual([first.address]);
    await using second = await start(store);
    await using third = await start(store, '--advertise', '127.0.0.1:1');
    const all = [first.address, second.address, '127.0.0.1:1'];
    await lists(first, all);
    const seconds = new Set<string | undefined>();
    for (let n = 0; n < 32; ++n) {
      const addresses = await addressesOf(first);
      expect(addresses[0]).toBe(first.address);
      expect(new Set(addresses)).toEqual(new Set(all));
      seconds.add(addresses[1]);
    }
    // The clients of a gateway that dies are not all to meet at one other.
    expect(seconds.size).toBe(2);
    expect((await third.command.interrupt()).code).toBe(0);
    await lists(second, [first.address, second.address]);
    expect(await addressesOf(second)).toEqual([second.address, first.address]);
  });

  test.concurrent('--cluster leader: the elected gateway serves, and the others send clients there', async () => {
    const store = newStore();
    await using first = await start(store, '--cluster', 'leader');
    await first.command.sees(/^\{"event":"leader","leader":"[\d.:]+","isThisOne":true\}$/m);
    await using second = await start(store, '--cluster', 'leader');
    await second.command.sees(
      new RegExp(`^\\{"event":"leader","leader":"${first.address}","isThisOne":false\\}$`, 'm'),
    );
    await second.command.sees(/"serving":false,/);
    await using client = TestClient.with(`${second.address},${first.address}`);
    expect(await client.event('connected')).toMatchObject({ address: first.address });
    expect(await client.event('redirected')).toMatchObject({ reason: 'NotLeader', elsewhere: first.address });
    expect((await first.command.interrupt()).code).toBe(0);
    expect(await client.event('connected', 2)).toMatchObject({ continued: true, address: second.address });
  });

  test.concurrent('an etcd that does not answer at the start is waited for, and the gateway says so', () =>
    withOwnEtcd(async (node, store) => {
      await node.kill();
      const gateway = gatewayForPeople(['--http=off', '--store', store, '--key', serverKey]);
      await gateway.complains(
        /^cannot reach the store etcd:.*trying again until it answers \(Ctrl-C ends\)/m,
      );
      node.start();
      await gateway.sees(/^sessions are served$/m);
      expect((await gateway.interrupt()).code).toBe(0);
    }));

  test.concurrent('what is in one namespace is not in another', async () => {
    const [one, two] = [newStore(), newStore()];
    await using gateway = await start(one);
    await using client = TestClient.start(gateway);
    await client.event('connected');
    expect(await list(one)).toHaveLength(1);
    expect(await list(two)).toEqual([]);
  });
});

/** With an etcd that the test may kill. */
async function withOwnEtcd(run: (node: EtcdNode, store: string) => Promise<void>): Promise<void> {
  const etcd = await EtcdServers.start({ nodes: 1 });
  try {
    await run(etcd.node, `etcd://${etcd.node.url.replace('http://', '')}`);
  } finally {
    await etcd.kill();
  }
}

test.concurrent('without an etcd, Ctrl-C ends a gateway that waits for it, and ls says what is wrong', async () => {
  const store = 'etcd://127.0.0.1:9';
  const gateway = gatewayForPeople(['--http=off', '--store', store, '--key', serverKey]);
  await gateway.complains(/^cannot reach the store etcd:\/\/127\.0\.0\.1:9: .*Is etcd running there\?$/m);
  expect((await gateway.interrupt()).code).toBe(130);
  expect(await hawserHere('sessions', 'ls', '--store', store)).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^hawser sessions ls: .*etcd.*\n$/),
  });
});
