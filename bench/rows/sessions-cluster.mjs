// Three gateways with a cluster of etcd: one of them dies, or the leader of etcd.
import { EtcdServers, hasEtcd } from '../../scripts/lib/etcd.mjs';
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { sharedTimeMs } from '../lib/program.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { sessionsGroup, wait } from './row.mjs';
import { inSeconds, recoveryFaults, untilBack } from './sessions.mjs';

/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/child.mjs').Program} Program */

const nodes = 3;
/** After how long without a word from its gateway a client gives it up. */
const timeoutMs = 5000;
const lacks = hasEtcd ? {} : { lacks: 'etcd (Debian: etcd-server)' };

/**
 * @template T
 * @param {(etcd: EtcdServers) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withEtcd(work) {
  if (!hasEtcd) throw new Error(`this row needs ${lacks.lacks}`);
  return withScratch(async (folder) => {
    const etcd = await EtcdServers.start({ nodes, folder });
    try {
      return await work(etcd);
    } finally {
      await etcd.kill();
    }
  });
}

/**
 * Gateways that share their sessions, and clients that have the addresses of all in their tokens.
 *
 * @template T
 * @param {{etcd: EtcdServers, gateways: number, clients: number, config?: object, gateway?: object}} setting
 * @param {(gateways: Program[], clients: Program) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withGateways({ etcd, gateways: count, clients, config, gateway: more }, work) {
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const store = { kind: 'etcd', hosts: etcd.urls };
    const gatewayConfig = { address: '127.0.0.1:0', key, maxPeers: clients, store, ...more };
    const gateways = [];
    for (let index = 0; index < count; ++index) gateways.push(await start('sessions-gateway', gatewayConfig));
    /** @type {string[]} */
    const addresses = await Promise.all(gateways.map((gateway) => gateway.request('address')));
    const program = await start('sessions-clients', { addresses, key, clients, timeoutMs, ...config });
    return work(gateways, program);
  });
}

// ---- A gateway -----------------------------------------------------------------------------------------------------

const failovers = {
  full: { clients: 10_000, requestEveryMs: 20_000 },
  quick: { clients: 2000, requestEveryMs: 10_000 },
  smoke: { clients: 10, requestEveryMs: 200 },
};

/** @type {import('./row.mjs').Row} */
const failover = {
  id: 'sessions-failover',
  group: sessionsGroup,
  title: 'until the last of 10,000 clients goes on elsewhere whose gateway was killed',
  unit: 's',
  better: 'lower',
  rivals: [],
  ...lacks,
  target: [{ is: 'atMost', value: 30 }],
  note: 'three gateways and a three-node etcd, all on this machine; kill -9 of the one that has the sessions. Clients give a silent gateway up after 5 s, connect to another one and continue their session there, while each of them makes a request every 20 s. No session and no request may be lost, none counted twice. A quick run has 2,000 clients.',

  async measure(_, size) {
    const { clients: count, requestEveryMs } = failovers[size];
    return withEtcd((etcd) =>
      withGateways({ etcd, gateways: 3, clients: count }, async ([first, ...others], clients) => {
        if (first === undefined) throw new Error('there is no gateway');
        await clients.request('connectAll');
        /** @type {{sessions: {sessions: number}}} */
        const { sessions } = await first.request('mark');
        await clients.request('startRequests', requestEveryMs);
        // Some of the requests are on their way when it happens.
        await wait(Math.min(requestEveryMs, 5000));
        await clients.request('watch');
        const killedMs = sharedTimeMs();
        await first.kill();
        const recovery = await untilBack(clients, killedMs, sessions.sessions);
        /** @type {{answered: number, failed: number, wrongCounts: number}} */
        const requests = await clients.request('stopRequests');
        /** @type {{sessions: {claimed: number}}[]} */
        const marks = await Promise.all(others.map((gateway) => gateway.request('mark')));
        const { detection, handshake, claim, total } = recovery;
        return {
          value: total.greatestMs / 1000,
          distribution: inSeconds(total.distribution),
          details: {
            clients: sessions.sessions,
            ...parts('detection', detection),
            ...parts('handshake', handshake),
            ...parts('claim', claim),
            claimed: marks.reduce((sum, mark) => sum + mark.sessions.claimed, 0),
            requests: requests.answered,
          },
          missed: [
            ...recoveryFaults(recovery, sessions.sessions),
            ...(requests.failed > 0 ? [`${requests.failed} requests failed`] : []),
            ...(requests.wrongCounts > 0
              ? [`${requests.wrongCounts} requests were lost or counted twice`]
              : []),
          ],
        };
      }),
    );
  },
};

/**
 * @param {string} name
 * @param {import('./sessions.mjs').Times} times
 * @returns {Record<string, number>} the median and the greatest, in seconds
 */
function parts(name, { distribution, greatestMs }) {
  const median = distribution.find(({ percent }) => percent === 50)?.value ?? Number.NaN;
  return { [`${name}Median`]: median / 1000, [`${name}Greatest`]: greatestMs / 1000 };
}

// ---- The leader of etcd --------------------------------------------------------------------------------------------

const elections = {
  full: { clients: 1000, afterMs: 15_000 },
  quick: { clients: 200, afterMs: 10_000 },
  smoke: { clients: 5, afterMs: 1000 },
};
const createsPerSecond = 20;
const beforeMs = 1000;
const intervalMs = 1000;

/** @type {import('./row.mjs').Row} */
const leader = {
  id: 'sessions-etcd-leader',
  group: sessionsGroup,
  title: 'the longest that a new client waits for its session when the leader of etcd was killed',
  unit: 's',
  better: 'lower',
  rivals: [],
  ...lacks,
  target: [{ is: 'atMost', value: 5 }],
  note: 'a gateway with 1,000 sessions, which send a KeepAlive each second, and a three-node etcd; 20 more clients come each second. From the kill -9, or from when the client came, whichever is later, until it has its session. No KeepAlive may go without its answer, no session be lost.',

  async measure(_, size) {
    const { clients: count, afterMs } = elections[size];
    const ms = beforeMs + afterMs;
    const more = (ms / 1000) * createsPerSecond;
    const gateway = {
      maxPeers: count + more,
      keepAliveIntervalMs: intervalMs,
      sessionTimeoutMs: 60_000,
      testRanges: true,
    };
    const config = { more, intervalMs, testRanges: true };
    return withEtcd((etcd) =>
      withGateways({ etcd, gateways: 1, clients: count, gateway, config }, async (_gateways, clients) => {
        await clients.request('connectAll');
        /** @typedef {{missed: number, answered: number, connected: number}} Mark */
        /** @type {Mark} */
        const before = await clients.request('mark');
        /** @type {Promise<{beganMs: number, createdMs: number}[]>} */
        const creating = clients.request('create', { ms, perSecond: createsPerSecond, first: count });
        await wait(beforeMs);
        const node = await etcd.leader();
        const killedMs = sharedTimeMs();
        await node.kill();
        const creates = await creating;
        /** @type {Mark} */
        const after = await clients.request('mark');
        const waits = creates.map(({ beganMs, createdMs }) => createdMs - Math.max(beganMs, killedMs));
        const missed = after.missed - before.missed;
        return {
          value: Math.max(...waits) / 1000,
          details: { heartbeatsAnswered: after.answered - before.answered, creates: creates.length },
          missed: [
            ...(missed > 0 ? [`${missed} KeepAlives were not answered in time`] : []),
            ...(after.connected < count + creates.length
              ? [`only ${after.connected} clients are connected`]
              : []),
          ],
        };
      }),
    );
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [failover, leader];
