import { maxLoss } from './row.mjs';
import { measureStream } from './stream.mjs';

const messageBytes = 64;
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
    const figures = await measureStream(contender, messageBytes, size, settleMs);
    const loss = 1 - figures.received / Math.max(1, figures.sent);
    return {
      value: figures.messagesPerSecond,
      details: {
        senderMicros: figures.senderMicros,
        receiverMicros: figures.receiverMicros,
        lossPercent: loss * 100,
        stalls: figures.stalls,
      },
      missed: loss > maxLoss ? [`${(loss * 100).toFixed(2)} % of the messages were lost`] : [],
    };
  },
};
