// A gateway that counts the requests of each session, in a process of its own, to be killed, and to stand still.
//
// Argument: JSON {etcd | lmdb, gateway, address, key}, the key as hex. On standard output a line of JSON for each event: {address} once it
// listens, {serving}, {slow: true} when it handles a request `slow`, {goesOn: true}, {stats}, {problem}. On standard input lines: `go` lets it go on with that
// request, `stats` asks for those of the server.

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Server } from 'hawser';
import {
  openEtcdStore,
  openSessionStore,
  SessionServer,
  serveSessions,
  sessionChannels,
} from 'hawser/sessions';

const { etcd, lmdb, gateway, address, key } = JSON.parse(process.argv[2] ?? '{}');
/** @param {object} event */
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const orders = createInterface(process.stdin);
// Whoever started it is gone.
orders.on('close', () => process.exit());

// Etcd is always there; on a busy machine it may take long to answer.
const kept =
  lmdb === undefined
    ? await openEtcdStore({ hosts: etcd, leaseTtlMs: 5000, timeoutMs: 30_000 })
    : await openSessionStore(lmdb);

// Its answers take a while, so that whoever is killed has committed what nobody was told.
const store = new Proxy(kept, {
  get: (target, name) => {
    const value = Reflect.get(target, name);
    if (name !== 'txn') return typeof value === 'function' ? value.bind(target) : value;
    return async (/** @type {import('hawser/sessions').Transaction} */ transaction) => {
      const result = await target.txn(transaction);
      await delay(20);
      return result;
    };
  },
});

const sessions = new SessionServer({
  store,
  gateway,
  onRequest: async ({ sessionId, payload, get }) => {
    const name = `count/${sessionId}`;
    const count = Number(Buffer.from((await get(name)) ?? []).toString()) + 1;
    if (Buffer.from(payload).toString() === 'slow') {
      say({ slow: true });
      for (let order = ''; order !== 'go'; ) [order] = await once(orders, 'line');
      say({ goesOn: true });
    }
    const result = Buffer.from(`${count}`);
    return { result, writes: new Map([[name, result]]) };
  },
});
orders.on('line', (order) => {
  if (order === 'stats') say({ stats: sessions.stats });
});
sessions.on('serving', (serving) => say({ serving }));
sessions.on('listenerError', (error, source) => say({ problem: `${source}: ${error}` }));

const server = await Server.listen({
  address,
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  channels: sessionChannels,
});
serveSessions(server, sessions);
await sessions.start();
say({ address: server.address });
