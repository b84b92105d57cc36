// Clients that lose their gateway all at once, in virtual time: what scripts/draw-reconnection.mjs draws and
// test/interaction/reconnection.test.ts judges.

/**
 * The modules of the package, built or as they are in src.
 *
 * @typedef {Pick<typeof import('../../src/index.js'), 'Client' | 'Server'>
 *   & Pick<typeof import('../../src/interaction/device.js'), 'Device'>
 *   & Pick<typeof import('../../src/interaction/interaction-client.js'), 'InteractionClient'>
 *   & Pick<typeof import('../../src/interaction/over-hawser.js'),
 *       'hawserConnector' | 'interactionChannels' | 'serveInteraction'>
 *   & Pick<typeof import('../../src/base/timing-wheel.js'), 'TimingWheel'>
 *   & Pick<typeof import('../../src/base/random.js'), 'seededRandom'>
 *   & Pick<typeof import('../../src/testing/index.js'), 'SimulatedNetwork'>
 *   & Pick<typeof import('../../src/token/index.js'), 'createTokenMinter' | 'generateKey'>} Modules
 *
 * What became of one client, in milliseconds of virtual time since the gateway was lost.
 * @typedef {object} Return
 * @property {number} noticedMs when it took the connection for lost
 * @property {number[]} attemptsMs when it tried to connect again
 * @property {number} backMs when it was connected, and had its subscription again
 */

const protocolId = 1n;
const gateway = '10.9.0.1:4000';
const timeoutMs = 5000;
const terms = { endpoint: 1, feature: 1, attributes: [], minIntervalMs: 0 };

/**
 * Loses a gateway while its clients are connected, and opens another at the same address.
 *
 * @param {Modules} modules
 * @param {{clients: number, firstAttemptSpreadMs: number, reconnectSpreadMs?: number, seed: number}} options with `reconnectSpreadMs` the
 *   gateway asks for that and drains; without, it falls silent, and the other is there before the clients notice
 * @returns {Promise<Return[]>} one for each client
 */
export async function loseGateway(modules, options) {
  const { clients: count, firstAttemptSpreadMs, reconnectSpreadMs, seed } = options;
  const { Client, InteractionClient, SimulatedNetwork, TimingWheel } = modules;
  const { createTokenMinter, generateKey, hawserConnector, interactionChannels, seededRandom } = modules;
  const network = new SimulatedNetwork({ seed, delayMs: 20, jitterMs: 10 });
  const { clock } = network;
  const wheel = new TimingWheel(clock);
  const random = seededRandom(seed);
  const key = generateKey();
  const open = () => openGateway(modules, network, wheel, key, count);
  let { server, device } = await open();
  const { mint } = await createTokenMinter({
    protocolId,
    key,
    addresses: [gateway],
    timeoutMs,
    now: () => clock.wallNow(),
  });
  // One socket for all, where each would have its own: they do not know of each other.
  const client = await Client.open({ network, channels: interactionChannels, maxConnections: count });
  let lostMs = Number.POSITIVE_INFINITY;
  const returned = Array.from({ length: count }, () => ({
    noticedMs: Number.NaN,
    attemptsMs: /** @type {number[]} */ ([]),
    backMs: Number.NaN,
  }));
  let back = 0;
  const all = returned.map((own, index) => {
    const connect = hawserConnector(() => mint({ clientId: BigInt(index + 1) }), { client });
    const one = new InteractionClient({
      connector: (attach, signal) => {
        if (clock.now() > lostMs) own.attemptsMs.push(clock.now() - lostMs);
        return connect(attach, signal);
      },
      reconnection: { firstAttemptSpreadMs },
      resubscribe: true,
      wheel,
      random,
    });
    one.once('disconnected', () => {
      own.noticedMs = clock.now() - lostMs;
    });
    one.on('resubscribed', () => {
      own.backMs = clock.now() - lostMs;
      ++back;
    });
    return one;
  });
  await network.runUntil(
    Promise.all(
      all.map(async (one) => {
        await one.connect();
        await one.subscribe(terms, { notified: () => undefined });
      }),
    ),
  );
  await network.run(1000);
  // All hear from the gateway at once, so that all miss it at once: the worst case for the next one.
  device.notifyChange(1, 1, 1, 1);
  await network.run(100);
  lostMs = clock.now();
  if (reconnectSpreadMs === undefined) {
    network.setLink(undefined, gateway, { up: false });
    network.setLink(gateway, undefined, { up: false });
    await network.runUntil(server.close());
    network.setLink(undefined, gateway, {});
    network.setLink(gateway, undefined, {});
  } else {
    await network.runUntil(server.drain({ deadlineMs: 1000, reconnectSpreadMs }));
  }
  ({ server, device } = await open());
  await network.runUntil(() => back === count, { limitMs: 120_000 });
  const closed = Promise.all(all.map((one) => one.close())).then(() =>
    Promise.all([server.close(), client.close()]),
  );
  await network.runUntil(closed);
  return returned;
}

/**
 * @param {Modules} modules
 * @param {import('../../src/testing/index.js').SimulatedNetwork} network
 * @param {import('../../src/base/timing-wheel.js').TimingWheel} wheel
 * @param {ReturnType<Modules['generateKey']>} key
 * @param {number} maxPeers
 */
async function openGateway(modules, network, wheel, key, maxPeers) {
  const { Device, interactionChannels, Server, serveInteraction } = modules;
  const channels = interactionChannels;
  const options = { network, address: gateway, protocolId, keys: [key], channels, maxPeers };
  const server = await Server.listen(options);
  const device = new Device({ wheel, handlers: { read: () => new Map([[1, 0]]) } });
  serveInteraction(server, (connection) => device.accept(connection));
  return { server, device };
}
