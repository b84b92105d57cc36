import { withPrograms } from '../lib/child.mjs';
import { cores, maxLoss, wait } from './row.mjs';

/** @typedef {import('../lib/program.mjs').ProcessMark & {messages: number}} StreamMark */
/** @typedef {StreamMark & {stalls: number}} SenderMark */

const messageBytes = 64;
const sizes = {
  full: { warmUpMs: 1500, measureMs: 3000 },
  quick: { warmUpMs: 500, measureMs: 1000 },
  smoke: { warmUpMs: 50, measureMs: 100 },
};
/** After the last message, how long the receiver may take to read what waits in its socket. */
const settleMs = 200;

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'msgs-64',
  title: 'one peer, encrypted 64-byte messages delivered',
  unit: 'messages/s',
  better: 'higher',
  rivals: ['dgram', 'dgram-sodium'],
  target: { value: 2_000_000, is: 'atLeast' },
  note: 'one way between two processes, a core for each, counted by `message` events; as many on their way as the window allows. dgram is not encrypted; both rivals send one datagram per message.',

  async measure(contender, size) {
    const { warmUpMs, measureMs } = sizes[size];
    return withPrograms(async (start) => {
      const receiver = await start('stream-receiver', { driver: contender }, { core: cores.far });
      const target = await receiver.request('target');
      const sender = await start(
        'stream-sender',
        { driver: contender, target, messageBytes },
        { core: cores.near },
      );
      await sender.request('start');
      await wait(warmUpMs);
      const begin = await both(sender, receiver);
      await wait(measureMs);
      const end = await both(sender, receiver);
      await sender.request('stop');
      await wait(settleMs);
      const final = await both(sender, receiver);
      await sender.request('close');
      await receiver.request('close');

      const received = end.receiver.messages - begin.receiver.messages;
      const loss = 1 - final.receiver.messages / Math.max(1, final.sender.messages);
      if (received === 0) throw new Error(`${contender}: no message was delivered`);
      const sent = end.sender.messages - begin.sender.messages;
      return {
        value: (received * 1000) / (end.receiver.timeMs - begin.receiver.timeMs),
        details: {
          senderMicros: (end.sender.cpuMicros - begin.sender.cpuMicros) / sent,
          receiverMicros: (end.receiver.cpuMicros - begin.receiver.cpuMicros) / received,
          lossPercent: loss * 100,
          stalls: final.sender.stalls,
        },
        missed: loss > maxLoss ? [`${(loss * 100).toFixed(2)} % of the messages were lost`] : [],
      };
    });
  },
};

/**
 * @param {import('../lib/child.mjs').Program} sender
 * @param {import('../lib/child.mjs').Program} receiver
 * @returns {Promise<{sender: SenderMark, receiver: StreamMark}>}
 */
async function both(sender, receiver) {
  /** @type {[SenderMark, StreamMark]} */
  const [near, far] = await Promise.all([sender.request('mark'), receiver.request('mark')]);
  return { sender: near, receiver: far };
}
