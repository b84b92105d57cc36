// The composed gateway: how soon it is there, and what it takes with every layer on.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { median, spread } from '../lib/statistics.mjs';
import { patientMs, untilSettled } from './crowd.mjs';
import { rows as packageRows } from './gateway-package.mjs';
import { cores, gatewayGroup, wait } from './row.mjs';

// ---- Starting ------------------------------------------------------------------------------------------------------

const starts = { full: 9, quick: 5, smoke: 1 };
const transport = 'transport alone';
const socket = 'node:dgram';
/** @type {Readonly<Record<string, 'gateway' | 'transport' | 'dgram'>>} */
const parts = { hawser: 'gateway', [transport]: 'transport', [socket]: 'dgram' };

/** @typedef {{bound: number, totalMs: number, importMs: number, cpuMs: number, rssBytes: number}} Started */

/** @type {import('./row.mjs').Row} */
const start = {
  id: 'gateway-start',
  group: gatewayGroup,
  title: 'from the import of hawser/gateway until its sockets are bound, in a new process',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  variants: [transport],
  limit: socket,
  target: [{ is: 'atMost', value: 150 }],
  does: {
    hawser: {
      encrypted: true,
      reliable: true,
      note: 'one listener, admin server and control socket: what a configuration without a word has',
    },
    [transport]: { encrypted: true, reliable: true, note: '`Server.listen` of hawser' },
    [socket]: { encrypted: false, reliable: false, note: 'one socket' },
  },
  note: 'of each new process the time from before the import until `openGateway` (`Server.listen`, `bind`) has resolved; the median of 9 processes, after one that fills the caches of the machine. In the details the import alone, the CPU time of all threads meanwhile, and the whole life of a process that does nothing (`node --eval 0`).',

  async measure(contender, size) {
    return withScratch(async (folder) => {
      /** @type {Started[]} */
      const all = [];
      const bareMs = [];
      for (let turn = 0; turn <= starts[size]; ++turn) {
        const config = { what: parts[contender], control: join(folder, `${turn}.sock`) };
        const started = await withPrograms(async (startProgram) => {
          const program = await startProgram('gateway-start', config, { core: cores.far });
          return /** @type {Promise<Started>} */ (program.request('started'));
        });
        const bareBegan = performance.now();
        spawnSync(process.execPath, ['--eval', '0']);
        bareMs.push(performance.now() - bareBegan);
        // The first one reads files that are not in memory yet.
        if (turn > 0) all.push(started);
      }
      const totals = all.map(({ totalMs }) => totalMs);
      const { min, max } = spread(totals);
      return {
        value: median(totals),
        least: min,
        greatest: max,
        details: {
          importMs: median(all.map(({ importMs }) => importMs)),
          cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
          rssMiB: median(all.map(({ rssBytes }) => rssBytes)) / 2 ** 20,
          bareProcessMs: median(bareMs),
        },
        missed: all.every(({ bound }) => bound === 1) ? [] : ['a socket was not bound'],
      };
    });
  },
};

// ---- Every layer ---------------------------------------------------------------------------------------------------

const crowds = {
  full: { peers: 10_000, quietMs: 20_000, viewedMs: 10_000 },
  quick: { peers: 10_000, quietMs: 5000, viewedMs: 3000 },
  smoke: { peers: 10, quietMs: 200, viewedMs: 200 },
};
const withSessions = 'with a session each';
/** The parts of the gateway that must answer. */
const tellers = ['messages', 'interaction', 'sync', 'sessions', 'keys', 'admin', 'metrics', 'control'];

/** @typedef {import('../lib/program.mjs').ProcessMark & {peers: number, sessions: number, connections: number, peakBytes: number,
 * heapBytes: number, nativeBytes: number}} Mark */

/** @type {import('./row.mjs').Row} */
const idle = {
  id: 'gateway-idle',
  group: gatewayGroup,
  title: 'resident memory of a gateway with every layer on and 10,000 idle peers',
  unit: 'MiB',
  better: 'lower',
  rivals: [],
  variants: [withSessions],
  target: [{ is: 'atMost', value: 200 }],
  does: {
    hawser: { encrypted: true, reliable: true, note: 'connections that keep themselves alive' },
    [withSessions]: {
      encrypted: true,
      reliable: true,
      note: 'the same, and a session of its own for each, kept in LMDB, with a KeepAlive in 30 s',
    },
  },
  note: 'one process of `openGateway`. Its 10,000 peers are at a listener with messages, interaction, sync and sessions, each of which serves each of them; the SAE of the layer keys is at another. All stores are LMDB; admin server with dashboard, metrics and control socket are on. No garbage is collected for the measurement, and pages of the stores that are mapped count. Every layer must answer a client, before the peers come and when they are there. In the details also the CPU of the quiet gateway, once all clocks have settled, and what one viewer of the dashboard adds.',

  async measure(contender, size) {
    const { peers, quietMs, viewedMs } = crowds[size];
    const sessions = contender === withSessions;
    return withScratch((folder) =>
      withPrograms(async (startProgram) => {
        const key = formatKey(generateKey({ id: 1 }));
        const config = { folder, key, peers, sessions };
        const clients = await startProgram('gateway-clients', config, { core: cores.near });
        const sae = await clients.request('sae');
        const gatewayConfig = { ...config, sae };
        const gateway = await startProgram('gateway-layers', gatewayConfig, { core: cores.far });
        const places = await gateway.request('places');
        // What only a first request loads belongs to the gateway without peers.
        const missed = size === 'smoke' ? [] : await silent(clients, places);
        /** @type {Mark} */
        const before = await gateway.request('mark');
        const { seconds } = /** @type {{seconds: number}} */ (await clients.request('connectAll', places));
        const { unsettled } = await untilSettled({ gateway, clients }, size, patientMs[size]);
        const quiet = await shareOf(gateway, quietMs);
        missed.push(...(await silent(clients, places)));
        await clients.request('view');
        const viewed = await shareOf(gateway, viewedMs);
        const { end } = quiet;
        if (end.peers < peers) missed.push(`${end.peers} of ${peers} peers are connected`);
        if (sessions && end.sessions < peers) missed.push(`${end.sessions} of ${peers} sessions are there`);
        if (end.connections < peers) missed.push(`${end.connections} of ${peers} connections of interaction`);
        return {
          value: end.rssBytes / 2 ** 20,
          details: {
            emptyMiB: before.rssBytes / 2 ** 20,
            peakMiB: end.peakBytes / 2 ** 20,
            heapMiB: end.heapBytes / 2 ** 20,
            nativeMiB: end.nativeBytes / 2 ** 20,
            bytesPerPeer: (end.rssBytes - before.rssBytes) / peers,
            cpuPercent: quiet.percent,
            viewerPercent: viewed.percent - quiet.percent,
            connectSeconds: seconds,
            unsettled,
          },
          missed: [...new Set(missed)],
        };
      }),
    );
  },
};

/** @typedef {import('../lib/child.mjs').Program} Program */

/**
 * @param {Program} clients
 * @param {unknown} places where the gateway is
 * @returns {Promise<string[]>} the parts of the gateway that did not answer
 */
async function silent(clients, places) {
  /** @type {Readonly<Record<string, string>>} */
  const said = await clients.request('ask', places);
  return tellers.filter((name) => said[name] !== 'answers').map((name) => `${name}: ${said[name]}`);
}

/**
 * @param {Program} gateway
 * @param {number} ms
 * @returns {Promise<{percent: number, end: Mark}>} how much of a core it uses in that time
 */
async function shareOf(gateway, ms) {
  /** @type {Mark} */
  const begin = await gateway.request('mark');
  await wait(ms);
  /** @type {Mark} */
  const end = await gateway.request('mark');
  return { percent: (end.cpuMicros - begin.cpuMicros) / 10 / (end.timeMs - begin.timeMs), end };
}

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [...packageRows, start, idle];
