// A gateway that is one device for all of its peers, for the rows with subscriptions. Configuration: {peers}.
import { setTimeout as wait } from 'node:timers/promises';
import { endpoint, feature, openGateway, tracked } from '../lib/interaction.mjs';
import { configuration, processMark, serve, sharedTimeMs } from '../lib/program.mjs';
import { median } from '../lib/statistics.mjs';

const { peers } = /** @type {{peers: number}} */ (configuration());
const { server, device, target } = await openGateway(peers);

/** @returns {number} peers that still measure their clocks more often than they keep alive */
function unsettled() {
  let count = 0;
  for (const peer of server.peers) if (!peer.clockSettled) ++count;
  return count;
}

/**
 * Changes one attribute again and again. Its value is the time at which it changed, in milliseconds of `sharedTimeMs`.
 *
 * @param {unknown} argument {count, everyMs}
 * @returns {Promise<{notifyMs: number}>} how long `notifyChange` took, the median
 */
async function change(argument) {
  const { count, everyMs } = /** @type {{count: number, everyMs: number}} */ (argument);
  const durations = [];
  for (let index = 0; index < count; ++index) {
    const timeMs = sharedTimeMs();
    device.notifyChange(endpoint, feature, tracked, timeMs);
    durations.push(sharedTimeMs() - timeMs);
    await wait(everyMs);
  }
  return { notifyMs: median(durations) };
}

serve({
  target: () => target,
  unsettled,
  change,
  mark: () => ({
    ...processMark(),
    peers: server.peers.size,
    subscriptions: device.subscriptions,
    ...server.stats,
  }),
});
