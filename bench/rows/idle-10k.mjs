import { counted, patientMs, untilSettled, withCrowd } from './crowd.mjs';
import { wait } from './row.mjs';

/** What the figure is about: at least one packet of each peer in so long. */
const keepAliveMs = 20_000;
/** Of these packets, the least part for a figure to be one of connections that keep alive. */
const leastPackets = 0.9;

/**
 * Tokens time out after three keep-alives (docs/protocol.md section 8). A quick run has them more often, over one of their intervals,
 * and takes the part of its figure that this is of 20 s.
 *
 * @type {Record<import('./row.mjs').Size, {peers: number, intervalMs: number}>}
 */
const sizes = {
  full: { peers: 10_000, intervalMs: keepAliveMs },
  quick: { peers: 10_000, intervalMs: 3000 },
  smoke: { peers: 20, intervalMs: 1000 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'idle-10k',
  title: 'gateway CPU with 10,000 idle peers, one keep-alive each in 20 s',
  unit: '% of a core',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 5 }],
  note: 'user and system time of the whole gateway process over 20 s, in which each connection has one keep-alive and its answer; measured once both sides of every connection say that their clock has settled, since fresh ones are measured more often. A quick run has keep-alives every 3 s and scales its figure to 20 s; it waits for clocks 10 s at most, and `unsettled` says how many had not settled.',

  async measure(_, size) {
    const { peers, intervalMs } = sizes[size];
    return withCrowd({ peers, clients: { timeoutMs: 3 * intervalMs } }, async (crowd) => {
      const { gateway, clients } = crowd;
      await crowd.connectUpTo(peers);
      // Without waiting there would be no keep-alive to measure, but pings.
      const { settleSeconds, unsettled } = await untilSettled(crowd, size, patientMs[size]);
      // Keep-alives come in a bunch, as the connections did, and the last clock settles with it: it is to lie in the middle.
      await wait(intervalMs / 2);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const begin = await gateway.request('mark');
      await wait(intervalMs);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const end = await gateway.request('mark');
      /** @type {import('./crowd.mjs').ClientsMark} */
      const { disconnected } = await clients.request('mark');
      const used = (end.cpuMicros - begin.cpuMicros) / 1000 / (end.timeMs - begin.timeMs);
      const intervals = ((end.timeMs - begin.timeMs) / intervalMs) * peers;
      const packets = {
        packetsInPerKeepAlive: counted(begin, end, 'packetsOpened') / intervals,
        packetsOutPerKeepAlive: counted(begin, end, 'packetsSealed') / intervals,
      };
      const missed = Object.entries(packets)
        .filter(([, figure]) => !(figure >= leastPackets))
        .map(([name, figure]) => `${name} ${figure.toFixed(2)}`);
      if (disconnected > 0) missed.push(`${disconnected} peers were disconnected`);
      return {
        value: used * 100 * (intervalMs / keepAliveMs),
        details: {
          ...packets,
          settleSeconds,
          unsettled,
        },
        missed,
      };
    });
  },
};
