// What `hawser load` counts, with a gateway in the process of the test: no echo is late while its clock stands still.

import { afterEach, expect, test, vi } from 'vitest';
import { wires } from '../../src/base/wire.js';
import { Load } from '../../src/cli/load.js';
import { generateKey, mintNetcodeToken, mintToken } from '../../src/token/index.js';
import { Server } from '../../src/transport/server.js';

const peers = 30;
const protocolId = 1n;
const sizes = { hawser: { min: 16, max: 1158 }, netcode: { min: 16, max: 1200 } } as const;

afterEach(() => {
  vi.useRealTimers();
});

test.each(wires)('every echo of %s counts: of what is sent nothing is lost', async (wire) => {
  const key = generateKey();
  await using server = await Server.listen({
    address: '127.0.0.1:0',
    protocolId,
    keys: [key],
    wires: [wire],
    ...(wire === 'netcode' && { freshKeys: true }),
  });
  server.on('message', (peer, data) => {
    peer.send(data);
  });
  const mint = wire === 'netcode' ? mintNetcodeToken : mintToken;
  const load = await Load.open({
    peers,
    rate: 20,
    size: sizes[wire],
    sockets: 3,
    driver: {},
    connectTimeoutMs: 60_000,
    tokens: (clientId) => mint({ protocolId, key, clientId, addresses: [server.address] }),
    firstClientId: 1n,
  });
  try {
    await load.connect(peers);
    load.start();
    await expect.poll(() => load.status().sent, { interval: 5 }).toBeGreaterThan(200);
    load.pause();
    // The second after which an echo counts as lost does not pass.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await load.finish();
    const { sent, echoed, ...status } = load.status();
    expect(echoed).toBe(sent);
    expect(status).toMatchObject({ connected: peers, disconnected: 0, failures: {} });
  } finally {
    vi.useRealTimers();
    await load.close();
  }
});
