// What the rows share that measure a stream of messages from one process to another.
import { bothMarks, withPrograms } from '../lib/child.mjs';
import { cores, lossFault, onceSome, wait } from './row.mjs';

/** @typedef {import('../lib/child.mjs').Program} Program */
/** @typedef {import('../lib/program.mjs').ProcessMark & {messages: number, misplaced: number}} ReceiverMark */
/** @typedef {import('../lib/program.mjs').ProcessMark & {messages: number, stalls: number, datagrams?: number}} SenderMark */

/** @type {Record<import('./row.mjs').Size, {warmUpMs: number, measureMs: number}>} */
export const sizes = {
  full: { warmUpMs: 1000, measureMs: 2000 },
  quick: { warmUpMs: 300, measureMs: 300 },
  smoke: { warmUpMs: 50, measureMs: 100 },
};

/**
 * @typedef {object} StreamFigures
 * @property {number} messagesPerSecond delivered
 * @property {number} senderMicros CPU for each message sent, all threads
 * @property {number} receiverMicros CPU for each message delivered, all threads
 * @property {number} messagesPerDatagram where the sender knows; else NaN
 * @property {number} sent from the first to the last
 * @property {number} received of those, once no more came
 * @property {number} misplaced messages that did not follow the one before
 * @property {number} stalls
 */

/**
 * One run with one peer: sender and receiver in processes of their own.
 *
 * @param {string} driver
 * @param {number} messageBytes
 * @param {import('./row.mjs').Size} size
 * @param {number} settleMs how long the receiver may take to read what waits after the last message was sent
 * @returns {Promise<StreamFigures>} rejects when nothing was delivered
 */
export async function measureStream(driver, messageBytes, size, settleMs) {
  return withPrograms(async (start) => {
    const receiver = await start('stream-receiver', { driver, messageBytes }, { core: cores.far });
    const target = await receiver.request('target');
    const sender = await start('stream-sender', { driver, target, messageBytes }, { core: cores.near });
    const figures = await streamBetween(sender, receiver, sizes[size], settleMs);
    // Before its receiver ends: to some rivals the loss of the other side is an error.
    await sender.request('close');
    return figures;
  });
}

/**
 * @param {Program} sender
 * @param {Program} receiver
 * @param {{warmUpMs: number, measureMs: number}} times
 * @param {number} settleMs as above
 * @param {unknown} [startArgument] for the sender
 * @returns {Promise<StreamFigures>} rejects when nothing was delivered
 */
export async function streamBetween(sender, receiver, { warmUpMs, measureMs }, settleMs, startArgument) {
  await sender.request('start', startArgument);
  await wait(warmUpMs);
  const begin = await both(sender, receiver);
  await wait(measureMs);
  const end = await onceSome(
    () => both(sender, receiver),
    ({ receiver: { messages } }) => messages > begin.receiver.messages,
  );
  await sender.request('stop');
  const final = await settled(sender, receiver, settleMs);

  const received = end.receiver.messages - begin.receiver.messages;
  if (received === 0) throw new Error('no message was delivered');
  const sent = end.sender.messages - begin.sender.messages;
  return {
    messagesPerSecond: (received * 1000) / (end.receiver.timeMs - begin.receiver.timeMs),
    senderMicros: (end.sender.cpuMicros - begin.sender.cpuMicros) / sent,
    receiverMicros: (end.receiver.cpuMicros - begin.receiver.cpuMicros) / received,
    messagesPerDatagram: sent / datagramsBetween(begin.sender, end.sender),
    sent: final.sender.messages,
    received: final.receiver.messages,
    misplaced: final.receiver.misplaced,
    stalls: final.sender.stalls,
  };
}

/**
 * Of a stream that may lose some.
 *
 * @param {StreamFigures} figures
 * @returns {import('./row.mjs').Sample}
 */
export function sampleOf({ messagesPerSecond, sent, received, ...figures }) {
  const loss = 1 - received / Math.max(1, sent);
  return {
    value: messagesPerSecond,
    details: {
      senderMicros: figures.senderMicros,
      receiverMicros: figures.receiverMicros,
      ...(Number.isFinite(figures.messagesPerDatagram)
        ? { messagesPerDatagram: figures.messagesPerDatagram }
        : {}),
      lossPercent: loss * 100,
      stalls: figures.stalls,
    },
    missed: lossFault(loss, 'of the messages were lost'),
  };
}

/**
 * @param {SenderMark} begin
 * @param {SenderMark} end
 * @returns {number} NaN when the sender does not know
 */
function datagramsBetween(begin, end) {
  return (end.datagrams ?? Number.NaN) - (begin.datagrams ?? Number.NaN);
}

/**
 * @typedef {object} Marks
 * @property {SenderMark} sender
 * @property {ReceiverMark} receiver
 */

/**
 * @param {Program} sender
 * @param {Program} receiver
 * @returns {Promise<Marks>}
 */
async function both(sender, receiver) {
  /** @type {[SenderMark, ReceiverMark]} */
  const [near, far] = await bothMarks(sender, receiver);
  return { sender: near, receiver: far };
}

/**
 * @param {Program} sender that has stopped
 * @param {Program} receiver
 * @param {number} settleMs
 * @returns {Promise<Marks>} as soon as all has arrived, or what there is then
 */
export async function settled(sender, receiver, settleMs) {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const marks = await both(sender, receiver);
    if (marks.receiver.messages >= marks.sender.messages || performance.now() > deadline) return marks;
    await wait(20);
  }
}
