import { counted, withCrowd } from './crowd.mjs';
import { onceSome, wait } from './row.mjs';

const sizes = {
  full: { warmUp: 1000, clients: 10_000, quietMs: 2000, followMs: 400 },
  quick: { warmUp: 500, clients: 3000, quietMs: 1500, followMs: 300 },
  smoke: { warmUp: 10, clients: 40, quietMs: 100, followMs: 200 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'handshakes',
  title: 'gateway CPU for each completed handshake',
  unit: 'µs',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 66 }],
  note: 'user and system time of the whole gateway process while clients connect as fast as they can, less what the pings of those that are connected cost meanwhile; `withPingsMicros` has them. The cost of a ping is all CPU time of the process straight afterwards for each packet that came: its answer, the pings of the gateway and the wake-ups of a process with little to do are in it, so that rather too much is taken off.',

  async measure(_, size) {
    const { warmUp, clients: count, quietMs, followMs } = sizes[size];
    const peers = warmUp + count;
    return withCrowd({ peers }, async ({ gateway, clients, connectUpTo }) => {
      await clients.request('mint', peers);
      await connectUpTo(warmUp);
      // The first clients measure their clocks at 10 Hz for a second; that is no part of the handshakes to come.
      await wait(quietMs);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const begin = await gateway.request('mark');
      const { seconds } = await connectUpTo(peers);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const end = await gateway.request('mark');
      await wait(followMs);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const later = await onceSome(
        () => gateway.request('mark'),
        (mark) => counted(end, mark, 'packetsOpened') > 0,
      );

      const handshakes = counted(begin, end, 'handshakesCompleted');
      if (handshakes < count) throw new Error(`only ${handshakes} of ${count} handshakes were completed`);
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
