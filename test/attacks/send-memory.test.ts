// Peers that offer unlimited credit and acknowledge everything but the first message: all that follows it waits behind the gap.

import { afterEach, expect, test } from 'vitest';
import type { Frame } from '../reference/frames.js';
import {
  AttackedGateway,
  attackSeconds,
  channel,
  expectUnharmed,
  HonestPeers,
  lasting,
  show,
} from './attack.js';
import { HostilePeer } from './hostile-peer.js';

const hostileCount = 8;
const MiB = 1024 * 1024;
const maxQueuedBytes = 256 * 1024;
const maxSendMemoryBytes = MiB;
/** Pools that keep blocks for the next user. */
const poolBytes = 8 * MiB;
/** The heap of the process. */
const heapBytes = 48 * MiB;

const hostile: HostilePeer[] = [];
afterEach(() => {
  for (const peer of hostile.splice(0)) peer.close();
});

const hasFirstMessage = (frame: Frame): boolean =>
  (frame.type === 'RELIABLE' && frame.channel === channel.feed && frame.first === 0n) ||
  (frame.type === 'FRAGMENT' && frame.channel === channel.feed && frame.number === 0n);

test('peers that leave a gap in what they acknowledge do not make the gateway hold more than its limits', async () => {
  const gateway = await AttackedGateway.start({
    maxQueuedBytes,
    highWaterBytes: maxQueuedBytes / 4,
    maxSendMemoryBytes,
  });
  const honest = await HonestPeers.connect(gateway, { count: 20, perSecond: 200, chatBytes: 200 });
  const seconds = attackSeconds(4);
  const { honest: quiet } = await honest.during(() => lasting(1000 * Math.min(seconds, 4)));
  const before = await gateway.report();

  for (let index = 0; index < hostileCount; ++index) {
    hostile.push(
      await HostilePeer.connect({
        token: await gateway.token(BigInt(index + 1)),
        limits: { maxDatagram: 1200, credit: 0xffff_ffff, channelCredit: 0xffff_ffff },
        acknowledges: (frames) => !frames.some(hasFirstMessage),
      }),
    );
  }
  const { honest: attacked } = await honest.during(async () => {
    const ask: Frame = {
      type: 'RELIABLE',
      channel: channel.feed,
      first: 0n,
      messages: [new Uint8Array(1)],
      withLength: true,
    };
    for (const peer of hostile) peer.send([ask]);
    await lasting(1000 * seconds);
  });
  const after = await gateway.report();
  show('peers that acknowledge everything but the first message', quiet, attacked);

  // The gateway disconnects them early.
  expect(hostile.reduce((sum, { packets }) => sum + packets, 0)).toBeGreaterThan(hostileCount);
  expect(after.nativeBytes - before.nativeBytes).toBeLessThan(maxSendMemoryBytes + poolBytes);
  expect(after.rssBytes - before.rssBytes).toBeLessThan(maxSendMemoryBytes + poolBytes + heapBytes);
  expectUnharmed(quiet, attacked);
});
