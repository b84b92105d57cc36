// Peers whose messages are never complete: they hold memory for messages that wait, as long as they answer PINGs.

import { afterEach, expect, test, vi } from 'vitest';
import type { Frame } from '../reference/frames.js';
import {
  AttackedGateway,
  attackSeconds,
  channel,
  expectUnharmed,
  HonestPeers,
  isLong,
  lasting,
  show,
} from './attack.js';
import { HostilePeer } from './hostile-peer.js';

const MiB = 1024 * 1024;
const feedBytes = MiB;
const chatBytes = 65_536;
/** Numbers that the credit of a channel lets a peer send ahead of a missing one are far more. */
const tinyMessages = 8000;
const tinyPerPacket = 500;

const hostile: HostilePeer[] = [];
afterEach(() => {
  for (const peer of hostile.splice(0)) peer.close();
});

async function connectHostile(gateway: AttackedGateway, count: number): Promise<void> {
  for (let index = 0; index < count; ++index)
    hostile.push(await HostilePeer.connect({ token: await gateway.token(BigInt(index + 1)) }));
}

const firstPart = (of: number, total: number): Frame => ({
  type: 'FRAGMENT',
  channel: of,
  number: 0n,
  part: { total, offset: 0 },
  data: new Uint8Array(100),
  withLength: true,
});

test('100 peers with unfinished long messages do not keep messages of honest peers from arriving', async () => {
  const gateway = await AttackedGateway.start();
  const honest = await HonestPeers.connect(gateway, { count: 10, perSecond: 20, chatBytes: 60_000 });
  const seconds = attackSeconds(5);
  const { honest: quiet } = await honest.during(() => lasting(1000 * Math.min(seconds, 5)));

  await connectHostile(gateway, 100);
  const { honest: attacked } = await honest.during(async () => {
    for (const peer of hostile) {
      peer.send([firstPart(channel.feed, feedBytes)]);
      peer.send([firstPart(channel.chat, chatBytes)]);
    }
    await lasting(1000 * seconds);
  });
  show('100 peers with an unfinished message of 1 MiB and one of 64 KiB each', quiet, attacked);

  expectUnharmed(quiet, attacked);
  // Such a peer may go on for six intervals of 5 s in which it is heard; one that only answers PINGs is not heard in each.
  if (!isLong) return;
  const mostMs = 60_000;
  await vi.waitFor(
    async () => {
      const { connected } = await gateway.report();
      expect(connected.filter((clientId) => Number(clientId) <= hostile.length)).toEqual([]);
    },
    { timeout: mostMs, interval: 1000 },
  );
});

test('tiny messages behind a missing one are charged to their sender and leave others alone', async () => {
  const gateway = await AttackedGateway.start();
  const honest = await HonestPeers.connect(gateway, { count: 10, perSecond: 20, chatBytes: 60_000 });
  const seconds = attackSeconds(5);
  const { honest: quiet } = await honest.during(() => lasting(1000 * Math.min(seconds, 5)));
  const before = await gateway.report();

  await connectHostile(gateway, 40);
  const { honest: attacked } = await honest.during(async () => {
    for (let first = 1; first <= tinyMessages; first += tinyPerPacket) {
      const messages = Array.from({ length: tinyPerPacket }, () => new Uint8Array(1));
      const frame: Frame = {
        type: 'RELIABLE',
        channel: channel.chat,
        first: BigInt(first),
        messages,
        withLength: true,
      };
      for (const peer of hostile) peer.send([frame]);
      await lasting(20);
    }
    await lasting(1000 * seconds);
  });
  const after = await gateway.report();
  show('40 peers with thousands of one-byte messages behind a missing one', quiet, attacked);

  expect(after.nativeBytes - before.nativeBytes).toBeLessThan(64 * MiB);
  expectUnharmed(quiet, attacked);
});
