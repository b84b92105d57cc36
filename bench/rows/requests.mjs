// Requests and their responses: pairs a second, with many on their way.
import { does } from '../drivers/does.mjs';
import { bothMarks, withPrograms } from '../lib/child.mjs';
import { cores, interactionGroup, wait } from './row.mjs';

/** @typedef {import('../lib/program.mjs').ProcessMark} ProcessMark */
/** @typedef {ProcessMark & {answered: number, wrong: number, datagrams?: number}} AskerMark */
/** @typedef {import('./row.mjs').Size} Size */

/** Which driver each contender has. */
const drivers = /** @type {const} */ ({
  hawser: 'requests-hawser',
  ws: 'requests-ws',
  net: 'requests-net',
});
const localDrivers = /** @type {const} */ ({ ...drivers, 'hawser-pipe': 'requests-pipe' });

/** @type {Record<Size, {warmUpMs: number, measureMs: number}>} */
const times = {
  full: { warmUpMs: 1500, measureMs: 3000 },
  quick: { warmUpMs: 700, measureMs: 700 },
  smoke: { warmUpMs: 50, measureMs: 100 },
};

/**
 * @typedef {object} Load
 * @property {number} connections
 * @property {number} window requests on their way on each
 * @property {boolean} apart whether client and server are processes of their own
 */

/**
 * @param {string} driver
 * @param {Load} load
 * @param {Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureRequests(driver, { connections, window, apart }, size) {
  const { warmUpMs, measureMs } = times[size];
  return withPrograms(async (start) => {
    const server = apart
      ? await start('requests-server', { driver, connections }, { core: cores.far })
      : undefined;
    const target = await server?.request('target');
    const client = await start(
      'requests-client',
      { driver, connections, window, ...(apart && { target }) },
      { core: cores.near },
    );
    await client.request('start');
    await wait(warmUpMs);
    const begin = await marks(client, server);
    await wait(measureMs);
    const end = await marks(client, server);
    const answered = end.client.answered - begin.client.answered;
    const micros = (/** @type {'client' | 'server'} */ side) =>
      ((end[side]?.cpuMicros ?? Number.NaN) - (begin[side]?.cpuMicros ?? Number.NaN)) / answered;
    const { wrong } = end.client;
    return {
      value: (answered * 1000) / (end.client.timeMs - begin.client.timeMs),
      details: {
        ...(apart
          ? { clientMicros: micros('client'), serverMicros: micros('server') }
          : { micros: micros('client') }),
        ...datagramsFor(begin.client, end.client, answered),
      },
      missed: wrong > 0 ? [`${wrong} responses had another value`] : [],
    };
  });
}

/**
 * @param {import('../lib/child.mjs').Program} client
 * @param {import('../lib/child.mjs').Program | undefined} server
 * @returns {Promise<{client: AskerMark, server?: ProcessMark}>}
 */
async function marks(client, server) {
  if (server === undefined) return { client: await client.request('mark') };
  /** @type {[AskerMark, ProcessMark]} */
  const [near, far] = await bothMarks(client, server);
  return { client: near, server: far };
}

/**
 * @param {AskerMark} begin
 * @param {AskerMark} end
 * @param {number} answered
 * @returns {{datagramsPerRequest?: number}} nothing where the driver does not know
 */
function datagramsFor({ datagrams: before }, { datagrams: after }, answered) {
  return before === undefined || after === undefined
    ? {}
    : { datagramsPerRequest: (after - before) / answered };
}

const rivals = ['ws', 'net'];
const what =
  'A request reads one attribute, a float; its response is awaited by a promise, which checks the value and sends the next request. `ws` and `net` send the same as JSON, over WebSockets and over TCP with lengths, both without TLS, and have none of the timeouts, limits and checks of hawser.';

/**
 * @param {Pick<import('./row.mjs').Row, 'id' | 'title' | 'note'> & {target: number}} row
 * @param {Load} load
 * @param {Partial<Load>} smoke
 * @returns {import('./row.mjs').Row}
 */
function requestsRow({ target, note, ...row }, load, smoke) {
  return {
    ...row,
    note: `${note} ${what}`,
    group: interactionGroup,
    unit: 'requests/s',
    better: 'higher',
    rivals,
    target: [{ is: 'atLeast', value: target }],
    does: does(load.apart ? drivers : localDrivers),
    ...(!load.apart && { variants: ['hawser-pipe'] }),
    measure: (contender, size) =>
      measureRequests(
        localDrivers[/** @type {keyof typeof localDrivers} */ (contender)],
        size === 'smoke' ? { ...load, ...smoke } : load,
        size,
      ),
  };
}

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [
  requestsRow(
    {
      id: 'interaction-one',
      title: 'requests answered on one connection, two processes',
      target: 200_000,
      note: '256 requests on their way on one connection between two processes, a core for each.',
    },
    { connections: 1, window: 256, apart: true },
    { window: 16 },
  ),
  requestsRow(
    {
      id: 'interaction-1000',
      title: 'requests answered on 1,000 connections together, two processes',
      target: 100_000,
      note: '8 requests on their way on each of 1,000 connections between two processes, a core for each.',
    },
    { connections: 1000, window: 8, apart: true },
    { connections: 20, window: 2 },
  ),
  requestsRow(
    {
      id: 'interaction-local',
      title: 'requests answered on one connection, both sides in one process',
      target: 100_000,
      note: '256 requests on their way on one connection whose two ends are in one process, on one core, over loopback; `hawser-pipe` has no transport between them.',
    },
    { connections: 1, window: 256, apart: false },
    { window: 16 },
  ),
];
