// A gateway that is killed and started again with the same configuration: what its layers keep on the disk is there, and clients go on.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { askGateway } from '../../src/gateway/control/ask-gateway.js';
import { formatKey, generateKey } from '../../src/token/index.js';
import { jsonLines, temporaryFolder } from '../cli/support.js';
import { GatewayProcess, lastEvent, tokensFor } from './gateway-process.js';
import { Counting, connectedAgain, MeterAgent } from './layer-clients.js';
import { SaeSite, saeClientId } from './sae-site.js';

const folder = temporaryFolder();
const key = formatKey(generateKey({ id: 1 }));
let site: SaeSite;
beforeAll(async () => {
  site = await SaeSite.open(join(folder, 'sae'));
});
afterAll(() => site[Symbol.asyncDispose]());

test('kill -9 with sessions, sync and keys: the next start has all of them, and the clients find it by themselves', async () => {
  const file = join(folder, 'gateway.json');
  // Both are at the same ones.
  const addresses = { agents: await freeAddress(), clients: await freeAddress(), saes: await freeAddress() };
  const listener = (name: keyof typeof addresses, layer: string): object => ({
    name,
    layers: [layer],
    address: addresses[name],
    // Clients hear at once that it is another.
    resetKey: Buffer.alloc(32, 9).toString('base64url'),
  });
  const config = {
    keys: [key],
    listeners: [listener('agents', 'sync'), listener('clients', 'sessions'), listener('saes', 'keys')],
    sync: { store: 'sync' },
    sessions: { store: 'lmdb:sessions' },
    sae: site.config,
    admin: false,
    drain: { deadlineMs: 200 },
  };
  writeFileSync(file, JSON.stringify(config));
  await using killed = await GatewayProcess.start(file, folder);
  const tokens = (name: keyof typeof addresses, clientId: bigint) =>
    tokensFor(key, clientId, () => addresses[name]);
  await using agent = new MeterAgent(tokens('agents', 1n));
  await agent.client.connect();
  await agent.tell('kitchen', '{"kWh":1.2}');
  await using counting = new Counting(tokens('clients', 2n));
  await counting.client.connect();
  expect(await counting.say('before')).toBe('before');
  const { sessionId } = counting.client;
  const { sae, connection } = await site.connect(tokens('saes', saeClientId), 'master');
  const first = await sae.rotate('SAE_1');
  expect(first.outcome).toBe('completed');

  const again = connectedAgain(agent.client, counting.client, connection);
  await killed.kill();
  await using next = await GatewayProcess.start(file, folder);
  const asked = await askGateway(next.listening.control ?? '', { command: 'snapshot' });
  const { layers } = asked ?? expect.fail('nobody answers');
  expect(layers.keys?.peers).toMatchObject([{ peerSaeId: 'SAE_2', productionKeyId: first.newKeyId }]);
  await again;
  expect(await agent.check()).toBe('valid');
  expect(await counting.say('after')).toBe('after');
  expect(counting.client.sessionId).toBe(sessionId);
  expect((await sae.rotate('SAE_1')).outcome).toBe('completed');

  await counting.client.disconnect();
  await next.command.sees(/"sessions":\{"sessions":0,"connected":0,.*"closed":1,/);
  const outcome = await next.terminate();
  expect(outcome.code).toBe(0);
  // What was counted stays so to the end.
  expect(lastEvent(outcome)).toMatchObject({
    event: 'closed',
    sessions: { sessions: 0, connected: 0, closed: 1 },
  });
  expect(jsonLines(outcome.stderr).filter(({ level }) => Number(level) >= 40)).toEqual([]);
});
