// Run with --expose-gc: what connections of `connect` with the channels of every layer take, and what they leave behind.
//
// Arguments: how many to keep open, and how many to open and close one after the other. Prints JSON {idle, grown}: bytes {rss, heapUsed,
// external} for each open connection, and after minus before of those that were closed. The gateway is a process of its own.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, Server } from 'hawser';
import { gatewayChannels } from 'hawser/gateway';
import { createTokenMinter } from 'hawser/token';

const protocolId = 1n;
const key = { id: 1, key: new Uint8Array(32).fill(1) };
const channels = gatewayChannels(['messages', 'interaction', 'sync', 'sessions', 'keys']);
/** A smaller change is noise of the heap. */
const leastFreedBytes = 4096;
const [idle, cycles] = process.argv.slice(2).map(Number);

if (idle === undefined || cycles === undefined) {
  const gateway = await Server.listen({ address: '127.0.0.1:0', protocolId, keys: [key], channels });
  process.send?.(gateway.address);
  process.on('disconnect', () => process.exit());
} else {
  const gateway = fork(fileURLToPath(import.meta.url));
  const [address] = await once(gateway, 'message');
  const minter = await createTokenMinter({ protocolId, key, addresses: [address], timeoutMs: 600_000 });
  let clientId = 0n;
  const open = () => {
    clientId += 1n;
    return connect(minter.mint({ clientId }), { channels, timeoutMs: 600_000 });
  };
  /** @param {number} count */
  const cycle = async (count) => {
    for (let index = 0; index < count; ++index) {
      await (await open()).close();
      if (index % 50 === 0) globalThis.gc?.();
    }
  };
  /** Memory use after the finalisers have run, each in a later turn. Waits until five collections in a row have freed nothing. */
  const settled = async () => {
    const endMs = performance.now() + 10_000;
    let least = Number.POSITIVE_INFINITY;
    for (let unchanged = 0; unchanged < 5 && performance.now() < endMs; ++unchanged) {
      globalThis.gc?.();
      await sleep(10);
      const { external, heapUsed } = process.memoryUsage();
      if (external + heapUsed < least - leastFreedBytes) unchanged = -1;
      least = Math.min(least, external + heapUsed);
    }
    return process.memoryUsage();
  };
  /** @param {NodeJS.MemoryUsage} before @param {NodeJS.MemoryUsage} after @param {number} among */
  const growth = (before, after, among) => ({
    rss: (after.rss - before.rss) / among,
    heapUsed: (after.heapUsed - before.heapUsed) / among,
    external: (after.external - before.external) / among,
  });

  // Until the heap has found its size.
  await cycle(200);
  const atFirst = await settled();
  await cycle(cycles);
  const cycled = await settled();
  const connections = [];
  while (connections.length < idle) connections.push(await open());
  const opened = await settled();
  if (!connections.every(({ connected }) => connected)) throw new Error('a connection has ended');
  const result = { idle: growth(cycled, opened, idle), grown: growth(atFirst, cycled, 1) };
  process.stdout.write(JSON.stringify(result), () => process.exit());
}
