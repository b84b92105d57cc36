// What `server.memoryBytes` counts, with one thread and with several.

import { afterEach, describe, expect, test } from 'vitest';
import { Client } from '../../src/index.js';
import { next, RealWorld } from './support.js';

// The history of single-use tokens takes its calendar with the first of them: 16,384 places of four bytes.
const calendarBytes = 16_384 * 4;

describe.runIf(process.platform === 'linux').each([1, 3])('memoryBytes with %i threads', (threads) => {
  const world = new RealWorld({ driver: 'threads', threads });
  afterEach(() => world.close());

  test('counts what the threads share, and once', async () => {
    const server = await world.listen({ restartGuardMs: 0 });
    // One source address, so that the same thread has all of its peers.
    await using client = await Client.open({ address: '0.0.0.0:0' });
    const growth = async (singleUse: boolean): Promise<number> => {
      const before = server.memoryBytes;
      const connecting = next(server, 'connect');
      await world.connect(await world.token(server, { singleUse }), { client });
      await connecting;
      return server.memoryBytes - before;
    };
    await growth(false);
    expect(await growth(false)).toBeLessThan(calendarBytes);
    const withHistory = await growth(true);
    expect(withHistory).toBeGreaterThanOrEqual(calendarBytes);
    expect(withHistory).toBeLessThan(2 * calendarBytes);
  });
});
