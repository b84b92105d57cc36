// A gateway with every layer at work and clients that give it something to show: what the pictures of the dashboard are taken of.
import { fork } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DemoSetup } from '../../dist/cli/sae-demo-setup.js';
import { openSaeHost } from '../../dist/cli/sae-host.js';
import { openGateway } from '../../dist/gateway/index.js';
import { readSaeConfig } from '../../dist/gateway/sae/config.js';
import { connect } from '../../dist/index.js';
import { SessionClient, sessionConnector } from '../../dist/sessions/index.js';
import { MemoryQueue, SyncClient, syncConnector } from '../../dist/sync/index.js';
import { encodeToken, mintToken, parseKey } from '../../dist/token/index.js';

/** How the networks of players are, and how many players have such a one. */
const networks = [
  { players: 110, simulate: { delayMs: 1, jitterMs: 4 } },
  { players: 90, simulate: { delayMs: 8, jitterMs: 10, lossRate: 0.002 } },
  { players: 40, simulate: { delayMs: 28, jitterMs: 25, lossRate: 0.01 } },
  { players: 12, simulate: { delayMs: 90, jitterMs: 60, lossRate: 0.04 } },
];
const gatewayArgument = '--gateway';
const agents = 24;
const sessions = 36;

/**
 * Starts the gateway in a process of its own, so that the figures are those of a gateway, and its clients in this one.
 *
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function openLivelyGateway() {
  const child = fork(fileURLToPath(import.meta.url), [gatewayArgument]);
  const [{ url, keyText, listeners, master }] = await once(child, 'message');
  const context = { key: parseKey(keyText), listeners, ends: [], stop: new AbortController() };
  await Promise.all([play(context), pushAll(context), holdSessions(context), rotate(context, master)]);
  molest(context);
  return {
    url,
    close: async () => {
      context.stop.abort();
      for (const end of context.ends) await end();
      child.send('stop');
      await once(child, 'exit');
    },
  };
}

/** What the process of the gateway does. */
async function runGateway() {
  const setup = await DemoSetup.open({ intervalMs: 3500, leadMs: 1500 });
  const slave = setup.slaveConfig();
  const { transport, ...sae } = JSON.parse(readFileSync(slave, 'utf8'));
  writeFileSync(slave, JSON.stringify(sae));
  const keyText = readFileSync(join(dirname(slave), transport.key), 'utf8').trim();
  const loopback = '127.0.0.1:0';
  const gateway = await openGateway({
    name: 'gateway-fra-1',
    keys: [keyText],
    listeners: [
      {
        name: 'players',
        address: loopback,
        layers: ['messages'],
        wires: ['hawser', 'netcode'],
        netcode: { tokenLifetimeMs: 3_600_000 },
      },
      { name: 'agents', address: loopback, layers: ['sync'], simulate: { delayMs: 12, jitterMs: 15 } },
      { name: 'sessions', address: loopback, layers: ['sessions'], simulate: { delayMs: 5, jitterMs: 6 } },
      { name: 'keys', address: loopback, layers: ['keys'] },
    ],
    handlers: {
      agentOf: (peer) => `meter-${String(peer.clientId).padStart(3, '0')}`,
      identityOf: (peer) => `customer-${1000 + Number(peer.clientId)}`,
    },
    sync: { store: 'memory' },
    sessions: { store: 'memory' },
    sae: slave,
    admin: { address: loopback },
    control: false,
    log: { level: 'fatal' },
  });
  const listeners = gateway.servers.map(({ name, server }) => ({
    name,
    protocolId: String(server.protocolId),
    addresses: server.publicAddresses,
  }));
  const keys = listeners.find(({ name }) => name === 'keys');
  process.send({
    url: gateway.urls.admin,
    keyText,
    listeners,
    master: setup.masterConfig(keys.addresses[0]),
  });
  process.once('disconnect', () => process.exit(1));
  await once(process, 'message');
  await gateway.close();
  await setup.close();
  process.exit(0);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function tokenFor({ key, listeners }, listener, clientId) {
  const { protocolId, addresses } = listeners.find(({ name }) => name === listener);
  const options = { protocolId: BigInt(protocolId), key, clientId: BigInt(clientId), addresses };
  return encodeToken(await mintToken(options));
}

/** Players, each of whom sends some messages a second that come back. */
async function play(context) {
  let clientId = 100;
  for (const { players, simulate } of networks) {
    const ready = [];
    for (let i = 0; i < players; ++i) {
      clientId += 1 + (clientId % 7);
      const token = await tokenFor(context, 'players', 71_000_000 + clientId * 13);
      const delayMs = simulate.delayMs * (1 + (i % 9) * 0.12);
      ready.push(await connect(token, { simulate: { ...simulate, delayMs } }));
    }
    const sendSome = async (connection, index) => {
      const payload = new Uint8Array(80 + (index % 5) * 60);
      while (!context.stop.signal.aborted && connection.connected) {
        connection.send(payload);
        await pause(120 + (index % 13) * 45);
      }
    };
    for (const [index, connection] of ready.entries()) void sendSome(connection, index);
    context.ends.push(() => Promise.all(ready.map((connection) => connection.close())));
  }
}

/** Agents that push to the manager: most of them little, one of them much. */
async function pushAll(context) {
  for (let id = 1; id <= agents; ++id) {
    const token = await tokenFor(context, 'agents', id);
    const client = new SyncClient({ connector: syncConnector(token) });
    const agent = client.agent({ module: id % 3 === 0 ? 'packages' : 'readings', queue: new MemoryQueue() });
    await client.connect();
    void push(context, agent, id);
    context.ends.push(() => client.close());
  }
}

async function push({ stop }, agent, id) {
  for (let round = 0; !stop.signal.aborted; ++round) {
    const items = id % 6 === 0 ? 9000 : 20 + ((id * 7 + round) % 60);
    const differences = Array.from({ length: items }, (_, index) => ({
      id: `item-${index}`,
      operation: 'MODIFY',
      index: 'state',
      data: Buffer.from(JSON.stringify({ id, round, index, text: 'x'.repeat(300) })),
    }));
    try {
      await agent.persistDifferences(differences);
      await agent.synchronizeModule('DELTA');
    } catch {
      // It ends, or goes on with the next round.
    }
    await pause(1500 + ((id * 997) % 4000));
  }
}

async function holdSessions(context) {
  for (let id = 1; id <= sessions; ++id) {
    const token = await tokenFor(context, 'sessions', id);
    const client = new SessionClient({ connector: sessionConnector(token) });
    await client.connect();
    if (id % 6 === 0) await client.close({ keepSession: true });
    else {
      void ask(context, client, id);
      context.ends.push(() => client.close({ keepSession: true }));
    }
  }
}

async function ask({ stop }, client, id) {
  while (!stop.signal.aborted) {
    await client.request(new TextEncoder().encode('what')).catch(() => undefined);
    await pause(700 + id * 31);
  }
}

/** The master of the other site, whose keys the gateway's SAE shares. @param {string} config its file */
async function rotate({ ends }, config) {
  const host = await openSaeHost(readSaeConfig(config), {
    role: 'master',
    onConnection: () => undefined,
    onError: () => undefined,
  });
  ends.push(() => host.close());
}

/** What the internet sends to an open port. */
function molest({ listeners, stop, ends }) {
  const port = Number(listeners[0].addresses[0].split(':').at(-1));
  const socket = createSocket('udp4');
  const datagrams = [
    Buffer.from('0000000000000000'),
    Buffer.concat([Buffer.from([0xa0]), Buffer.alloc(700, 7)]),
    Buffer.concat([Buffer.from([0xa0]), Buffer.alloc(1199, 9)]),
    Buffer.concat([Buffer.from([0xb0]), Buffer.alloc(60, 3)]),
    Buffer.concat([Buffer.from([0xb4]), Buffer.alloc(90, 3)]),
  ];
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    for (let i = 0; i < 1 + (sent % 4); ++i)
      socket.send(datagrams[(sent * 7 + i * i) % datagrams.length], port, '127.0.0.1');
  }, 90);
  stop.signal.addEventListener('abort', () => clearInterval(timer));
  ends.push(async () => socket.close());
}

if (process.argv[2] === gatewayArgument) await runGateway();
