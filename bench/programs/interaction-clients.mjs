// Many clients that subscribe to attributes of one device. Configuration: {target, clients, timeoutMs}.
import { attributes, connectClients, endpoint, feature, tracked } from '../lib/interaction.mjs';
import { configuration, processMark, serve, sharedTimeMs } from '../lib/program.mjs';
import { quantiles } from '../lib/statistics.mjs';

/**
 * @typedef {object} Configuration
 * @property {import('../lib/interaction.mjs').Target} target
 * @property {number} clients
 * @property {number} [timeoutMs] of their tokens; they keep alive three times in it, 60,000 by default
 */

/** Requests that wait at the same time, of all clients together. */
const subscribesAtOnce = 256;
const percents = [50, 90, 99, 99.9];

const config = /** @type {Configuration} */ (configuration());
const { clients, connections } = await connectClients(config.target, config.clients, config.timeoutMs);
let ended = 0;
for (const client of clients) client.on('close', () => ++ended);
const heard = { priming: 0, change: 0, heartbeat: 0 };
/** Of changes of the tracked attribute, in milliseconds. @type {number[]} */
let delays = [];

/** @param {import('../../dist/interaction/messages.js').Notification} notification */
function notified({ kind, changes }) {
  ++heard[kind];
  if (kind !== 'change') return;
  const changedMs = changes.get(tracked);
  if (typeof changedMs === 'number') delays.push(sharedTimeMs() - changedMs);
}

/**
 * Every client subscribes to each of its attributes by itself, all of them in one turn.
 *
 * @param {unknown} argument {each: how many attributes, minIntervalMs, maxIntervalMs: those of the source document where left out}
 */
async function subscribe(argument) {
  const { each, ...intervals } =
    /** @type {{each: number, minIntervalMs?: number, maxIntervalMs?: number}} */ (argument);
  let next = 0;
  const worker = async () => {
    for (let client = clients[next++]; client !== undefined; client = clients[next++]) {
      const subscribing = client;
      await Promise.all(
        attributes
          .slice(0, each)
          .map((attribute) =>
            subscribing.subscribe({ endpoint, feature, attributes: [attribute], ...intervals }, { notified }),
          ),
      );
    }
  };
  await Promise.all(Array.from({ length: Math.ceil(subscribesAtOnce / each) }, worker));
}

/** @returns {{quantiles: {percent: number, value: number}[], greatest: number}} of the delays since it was asked last */
function takenDelays() {
  const taken = delays;
  delays = [];
  return {
    quantiles: taken.length === 0 ? [] : quantiles(taken, percents),
    greatest: taken.reduce((greatest, delay) => Math.max(greatest, delay), Number.NEGATIVE_INFINITY),
  };
}

serve({
  subscribe,
  takenDelays,
  unsettled: () => connections.filter(({ clockSettled }) => !clockSettled).length,
  mark: () => ({ ...processMark(), ...heard, ended }),
});
