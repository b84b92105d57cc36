// What the rows share that measure a stream of messages from one process to another.
import { withPrograms } from '../lib/child.mjs';
import { cores, wait } from './row.mjs';

/** @typedef {import('../lib/program.mjs').ProcessMark & {messages: number, misplaced: number}} ReceiverMark */
/** @typedef {import('../lib/program.mjs').ProcessMark & {messages: number, stalls: number}} SenderMark */

/** @type {Record<import('./row.mjs').Size, {warmUpMs: number, measureMs: number}>} */
const sizes = {
  full: { warmUpMs: 1500, measureMs: 3000 },
  quick: { warmUpMs: 500, measureMs: 1000 },
  smoke: { warmUpMs: 50, measureMs: 100 },
};

/**
 * @typedef {object} StreamFigures
 * @property {number} messagesPerSecond delivered
 * @property {number} senderMicros CPU for each message sent, all threads
 * @property {number} receiverMicros CPU for each message delivered, all threads
 * @property {number} sent from the first to the last
 * @property {number} received of those, once no more came
 * @property {number} misplaced messages that did not follow the one before
 * @property {number} stalls
 */

/**
 * One run: sender and receiver in processes of their own.
 *
 * @param {string} driver
 * @param {number} messageBytes
 * @param {import('./row.mjs').Size} size
 * @param {number} settleMs how long the receiver may take to read what waits after the last message was sent
 * @returns {Promise<StreamFigures>} rejects when nothing was delivered
 */
export async function measureStream(driver, messageBytes, size, settleMs) {
  const { warmUpMs, measureMs } = sizes[size];
  return withPrograms(async (start) => {
    const receiver = await start('stream-receiver', { driver }, { core: cores.far });
    const target = await receiver.request('target');
    const sender = await start('stream-sender', { driver, target, messageBytes }, { core: cores.near });
    await sender.request('start');
    await wait(warmUpMs);
    const begin = await both(sender, receiver);
    await wait(measureMs);
    const end = await both(sender, receiver);
    await sender.request('stop');
    const final = await settled(sender, receiver, settleMs);
    await sender.request('close');
    await receiver.request('close');

    const received = end.receiver.messages - begin.receiver.messages;
    if (received === 0) throw new Error(`${driver}: no message was delivered`);
    const sent = end.sender.messages - begin.sender.messages;
    return {
      messagesPerSecond: (received * 1000) / (end.receiver.timeMs - begin.receiver.timeMs),
      senderMicros: (end.sender.cpuMicros - begin.sender.cpuMicros) / sent,
      receiverMicros: (end.receiver.cpuMicros - begin.receiver.cpuMicros) / received,
      sent: final.sender.messages,
      received: final.receiver.messages,
      misplaced: final.receiver.misplaced,
      stalls: final.sender.stalls,
    };
  });
}

/**
 * @typedef {object} Marks
 * @property {SenderMark} sender
 * @property {ReceiverMark} receiver
 */

/**
 * @param {import('../lib/child.mjs').Program} sender
 * @param {import('../lib/child.mjs').Program} receiver
 * @returns {Promise<Marks>}
 */
async function both(sender, receiver) {
  /** @type {[SenderMark, ReceiverMark]} */
  const [near, far] = await Promise.all([sender.request('mark'), receiver.request('mark')]);
  return { sender: near, receiver: far };
}

/**
 * @param {import('../lib/child.mjs').Program} sender that has stopped
 * @param {import('../lib/child.mjs').Program} receiver
 * @param {number} settleMs
 * @returns {Promise<Marks>} as soon as all has arrived, or what there is then
 */
async function settled(sender, receiver, settleMs) {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const marks = await both(sender, receiver);
    if (marks.receiver.messages >= marks.sender.messages || performance.now() > deadline) return marks;
    await wait(20);
  }
}
