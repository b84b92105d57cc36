import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { cores, wait } from './row.mjs';

/**
 * @typedef {import('../lib/program.mjs').ProcessMark & {peers: number, nativeBytes: number, counters: Record<string, number>,
 * drops: Record<string, number>}} GatewayMark
 */

const sizes = {
  full: { warmUp: 1000, clients: 10_000, quietMs: 3000, followMs: 400 },
  quick: { warmUp: 500, clients: 3000, quietMs: 2000, followMs: 300 },
  smoke: { warmUp: 10, clients: 40, quietMs: 100, followMs: 200 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'handshakes',
  title: 'gateway CPU for each completed handshake',
  unit: 'µs',
  better: 'lower',
  rivals: [],
  target: { value: 100, is: 'atMost' },
  note: 'user and system time of the whole gateway process while clients connect as fast as they can, less what the pings of those that are connected cost meanwhile; `withPingsMicros` has them.',

  async measure(_, size) {
    const { warmUp, clients: count, quietMs, followMs } = sizes[size];
    return withPrograms(async (start) => {
      const key = formatKey(generateKey({ id: 1 }));
      const gateway = await start('gateway', { maxPeers: warmUp + count, key }, { core: cores.far });
      const address = await gateway.request('address');
      const clients = await start('clients', { address, key, clients: warmUp + count }, { core: cores.near });
      await clients.request('mint', warmUp + count);
      await clients.request('connectUpTo', warmUp);
      // The first clients measure their clocks at 10 Hz for a second; that is no part of the handshakes to come.
      await wait(quietMs);
      /** @type {GatewayMark} */
      const begin = await gateway.request('mark');
      /** @type {{seconds: number, failed: number}} */
      const { seconds, failed } = await clients.request('connectUpTo', warmUp + count);
      /** @type {GatewayMark} */
      const end = await gateway.request('mark');
      await wait(followMs);
      /** @type {GatewayMark} */
      const later = await gateway.request('mark');
      await clients.request('close');
      await gateway.request('close');

      const handshakes = counted(begin, end, 'handshakesCompleted');
      if (failed > 0 || handshakes < count) {
        throw new Error(`only ${handshakes} of ${count} clients could connect`);
      }
      const all = (end.cpuMicros - begin.cpuMicros) / handshakes;
      // Straight afterwards all packets are pings and what comes with them: this is what one costs.
      const perPing = (later.cpuMicros - end.cpuMicros) / counted(end, later, 'packetsOpened');
      // The packet that confirms a handshake belongs to it.
      const pings = (counted(begin, end, 'packetsOpened') - handshakes) / handshakes;
      return {
        value: all - pings * perPing,
        details: {
          withPingsMicros: all,
          pingMicros: perPing,
          pingsPerHandshake: pings,
          requestsPerHandshake: counted(begin, end, 'requestsReceived') / handshakes,
          handshakesPerSecond: handshakes / seconds,
        },
      };
    });
  },
};

/**
 * @param {GatewayMark} begin
 * @param {GatewayMark} end
 * @param {string} name
 * @returns {number}
 */
function counted(begin, end, name) {
  return (end.counters[name] ?? 0) - (begin.counters[name] ?? 0);
}
