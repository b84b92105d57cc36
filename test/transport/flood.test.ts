// Floods as fast as this machine sends them. What is asserted holds on any machine: nobody who is connected is lost, memory
// stays bounded, and the gateway serves new clients afterwards.

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Client, type Connection, connect } from '../../src/index.js';
import { mintToken } from '../../src/token/index.js';
import { child } from './child-gateway.js';
import { patienceMs } from './support.js';

const run = promisify(execFile);

const key = { id: 1, key: new Uint8Array(32).fill(5) };
const peerCount = 50;
const seconds = process.env.HAWSER_TEST_DEEP === '1' ? 20 : 3;
/** Far above what the budgets allow, far below what a leak of each datagram would take. */
const maxGrowthBytes = 96 * 1024 * 1024;
const requestType = 0xa0;
const responseType = 0xa2;

interface GatewayReport {
  readonly rssBytes: number;
  readonly peers: number;
  readonly ended: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
}

let gateway: ChildProcess;
let address: string;
let proxy: Middleman;
let client: Client;
let connections: Connection[];
let clientId = 0n;

/** A man in the middle who forwards everything and keeps what clients say. */
class Middleman {
  readonly seen: Buffer[] = [];
  readonly #socket: Socket;
  #gatewayPort = 0;
  #client: RemoteInfo | undefined;

  constructor() {
    this.#socket = createSocket('udp4');
    this.#socket.on('message', (datagram, from) => {
      if (from.port === this.#gatewayPort) {
        if (this.#client) this.#socket.send(datagram, this.#client.port, this.#client.address);
        return;
      }
      this.#client = from;
      this.seen.push(Buffer.from(datagram));
      this.#socket.send(datagram, this.#gatewayPort, '127.0.0.1');
    });
  }

  async open(): Promise<void> {
    this.#socket.bind(0, '127.0.0.1');
    await once(this.#socket, 'listening');
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  forwardTo(gatewayAddress: string): void {
    this.#gatewayPort = Number(gatewayAddress.split(':')[1]);
  }

  /** The first datagram of a type that a client sent. */
  first(type: number): Buffer {
    return this.seen.find((datagram) => datagram[0] === type) ?? expect.fail(`no datagram of type ${type}`);
  }

  /** Sends a datagram to the gateway once more, from the address that it came from before. */
  repeat(datagram: Buffer, times: number): void {
    for (let count = 0; count < times; ++count) this.#socket.send(datagram, this.#gatewayPort, '127.0.0.1');
  }

  close(): void {
    this.#socket.close();
  }
}

const patient = { timeoutMs: patienceMs };

const token = (through = address): Promise<Uint8Array> =>
  mintToken({ protocolId: 1n, key, clientId: ++clientId, addresses: [through], timeoutMs: patienceMs });

async function report(): Promise<GatewayReport> {
  gateway.send('stats');
  const [answer] = await once(gateway, 'message');
  return answer;
}

beforeEach(async () => {
  proxy = new Middleman();
  await proxy.open();
  const options = { key: Buffer.from(key.key).toString('hex'), publicAddresses: [proxy.address] };
  gateway = fork(child('flooded'), [JSON.stringify(options)], { execArgv: ['--expose-gc'] });
  const [hello] = await once(gateway, 'message');
  address = hello.address;
  proxy.forwardTo(address);
  client = await Client.open({ address: '127.0.0.1:0' });
  connections = [];
  for (let index = 0; index < peerCount; ++index) {
    connections.push(await client.connect(await token(), patient));
  }
});

afterEach(async () => {
  const closing = client.close();
  await closing;
  proxy.close();
  const exit = once(gateway, 'exit');
  gateway.kill();
  await exit;
});

/** Floods the gateway while its peers talk, and checks what must hold. @returns the gateway's last report. */
async function flood(kind: string, datagrams: readonly Buffer[] = []): Promise<GatewayReport> {
  const [host, port] = address.split(':');
  const before = await report();
  const options = {
    host,
    port: Number(port),
    seconds,
    kind,
    datagrams: datagrams.map((each) => each.toString('base64')),
  };
  let echoed = 0;
  for (const connection of connections) {
    connection.on('message', () => {
      ++echoed;
    });
  }
  let flooding = true;
  const flooder = run(process.execPath, [child('flooder'), JSON.stringify(options)]).finally(() => {
    flooding = false;
  });
  while (flooding) {
    for (const connection of connections) connection.send(new Uint8Array(32));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { stdout } = await flooder;
  // Whatever still waits in a queue is answered before a handshake that comes now.
  const late = await client.connect(await token(), patient);
  const after = await report();
  expect(Number(stdout)).toBeGreaterThan(1000);
  expect(connections.every((connection) => connection.connected)).toBe(true);
  expect(late.connected).toBe(true);
  expect(after.ended).toBe(before.ended);
  expect(after.peers).toBe(before.peers + 1);
  expect(echoed).toBeGreaterThan(0);
  expect(after.rssBytes - before.rssBytes).toBeLessThan(maxGrowthBytes);
  return after;
}

test('garbage from many addresses is dropped and counted', async () => {
  const { drops } = await flood('garbage');
  expect(drops.unknownType).toBeGreaterThan(0);
});

test('replayed REQUESTs are answered within the budget and change nothing', async () => {
  const abort = new AbortController();
  const attempt = connect(await token(proxy.address), {
    ...patient,
    signal: abort.signal,
    address: '127.0.0.1:0',
  });
  await (await attempt).close();
  const { counters } = await flood('replay', [proxy.first(requestType)]);
  expect(counters.requestsReceived).toBeGreaterThan(peerCount);
});

test('replayed RESPONSEs open nothing', async () => {
  const victim = await connect(await token(proxy.address), { ...patient, address: '127.0.0.1:0' });
  proxy.repeat(proxy.first(responseType), 200);
  const { counters, drops } = await flood('replay', [proxy.first(responseType)]);
  // 50 peers, the victim, and the late one. Whoever waited for long has asked twice, and was answered twice; of the flood nobody was.
  expect(counters.handshakesCompleted).toBe(peerCount + 2);
  expect(counters.acceptsSent).toBeLessThan(4 * peerCount);
  expect(drops.cookieConsumed).toBeGreaterThan(0);
  expect(drops.cookieInvalid).toBeGreaterThan(0);
  expect(victim.connected).toBe(true);
  await victim.close();
});

test('valid REQUESTs that nobody follows up take no memory', async () => {
  const attempt = connect(await token(proxy.address), { ...patient, address: '127.0.0.1:0' });
  await (await attempt).close();
  const { counters } = await flood('request', [proxy.first(requestType)]);
  expect(counters.challengesSent).toBeGreaterThan(peerCount);
  // Thousands, if each had taken a place. Of the peers, one that was answered late may have begun twice.
  expect(counters.halfOpen).toBeLessThan(peerCount);
  await expect.poll(async () => (await report()).counters.halfOpen, { timeout: 90_000 }).toBe(0);
});
