import { bothMarks } from '../lib/child.mjs';
import { protocolId } from '../lib/hawser.mjs';
import { builtNative, runLinux } from '../lib/native.mjs';
import { counted, untilSettled, withCrowd } from './crowd.mjs';
import { lossFault, onceSome, wait } from './row.mjs';

/** Of all honest clients together, ten in a second each. */
const messagesPerSecond = 10_000;
const attackPerSecond = 50_000;
/** The least part of that for an attack to be one. */
const leastAttack = 0.9;
/** Of the gateway's key, which the attacker's tokens name. */
const keyId = 1;
/** Until what is on its way has come back. */
const settleMs = 200;

/** @type {Record<import('./row.mjs').Size, {peers: number, ms: number}>} */
const sizes = {
  full: { peers: 1000, ms: 3000 },
  quick: { peers: 1000, ms: 1000 },
  smoke: { peers: 20, ms: 200 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'flood',
  title: 'round trip of 1,000 honest peers under a flood, 99th percentile',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  note: `1,000 clients send 10 messages a second each and get them back; a round trip begins when the message is sent, not when it was due. At first there is nothing else (\`quiet...\`), then while a native program on their core floods the gateway with ${attackPerSecond.toLocaleString('en-US')} datagrams a second from 10,000 addresses: random bytes, packets of unknown connections, REQUESTs with tokens that nobody sealed, RESPONSEs with such tokens and cookies that nobody gave. At most 0.1 % of the honest messages may be lost, and no peer; the attack must have at least 90 % of its rate.`,

  async measure(_, size) {
    const { peers, ms } = sizes[size];
    if (size !== 'smoke') await builtNative('udp_flood');
    return withCrowd({ peers, gateway: { echo: true }, clients: { timed: true } }, async (crowd) => {
      await crowd.connectUpTo(peers);
      await untilSettled(crowd, size);
      const quiet = await measureHonest(crowd, ms, async () => 0);
      const port =
        String(await crowd.gateway.request('address'))
          .split(':')
          .at(-1) ?? '';
      const attack = await measureHonest(crowd, ms, async () => {
        // What is only to see that the row runs needs no native build.
        if (size === 'smoke') return 0;
        const args = [port, String(protocolId), keyId, attackPerSecond, ms];
        /** @type {{sent: number, answered: number}} */
        const { sent } = await runLinux('udp_flood', args, size);
        return sent / (ms / 1000);
      });
      /** @type {import('./crowd.mjs').ClientsMark} */
      const { disconnected } = await crowd.clients.request('mark');
      const missed = lossFault(attack.loss, 'of the honest messages were lost');
      if (!(attack.attacks >= leastAttack * attackPerSecond))
        missed.push(`the attack had ${attack.attacks.toFixed(0)} datagrams a second`);
      if (disconnected > 0) missed.push(`${disconnected} honest peers were disconnected`);
      return {
        value: attack.p99Ms,
        details: {
          p50Ms: attack.p50Ms,
          lostPercent: attack.loss * 100,
          cpuPercent: attack.cpuPercent,
          attackPerSecond: attack.attacks,
          refusedPerSecond: attack.refusedPerSecond,
          kernelDropsPerSecond: attack.kernelDropsPerSecond,
          quietP50Ms: quiet.p50Ms,
          quietP99Ms: quiet.p99Ms,
          quietCpuPercent: quiet.cpuPercent,
        },
        missed,
      };
    });
  },
};

/**
 * The honest clients under load, while something else goes on.
 *
 * @param {import('./crowd.mjs').Crowd} crowd
 * @param {number} ms
 * @param {() => Promise<number>} besides gives how many datagrams a second it sent
 */
async function measureHonest({ gateway, clients }, ms, besides) {
  /** @type {[import('./crowd.mjs').GatewayMark, import('./crowd.mjs').ClientsMark]} */
  const [begin, before] = await bothMarks(gateway, clients);
  /** @type {[{sent: number}, number]} */
  const [{ sent }, attacks] = await Promise.all([
    clients.request('load', { ms, perSecond: messagesPerSecond }),
    besides(),
  ]);
  /** @type {import('./crowd.mjs').GatewayMark} */
  const end = await gateway.request('mark');
  await wait(settleMs);
  /** @type {import('./crowd.mjs').ClientsMark} */
  const after = await onceSome(
    () => clients.request('mark'),
    ({ messages }) => messages > before.messages,
  );
  /** @type {{p50Ms: number, p99Ms: number}} */
  const roundTrips = await clients.request('takenRoundTrips');
  const seconds = (end.timeMs - begin.timeMs) / 1000;
  const refused = counted(begin, end, 'datagramsReceived') - counted(begin, end, 'packetsOpened');
  const kernelDrops = (end.socket.dropKernelReceive ?? 0) - (begin.socket.dropKernelReceive ?? 0);
  return {
    ...roundTrips,
    attacks,
    loss: 1 - (after.messages - before.messages) / sent,
    cpuPercent: ((end.cpuMicros - begin.cpuMicros) / 1e6 / seconds) * 100,
    refusedPerSecond: refused / seconds,
    kernelDropsPerSecond: kernelDrops / seconds,
  };
}
