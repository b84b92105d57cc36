import { does } from '../drivers/does.mjs';
import { channelsGroup } from './row.mjs';
import { measureStream } from './stream.mjs';

/** After the last message, how long what is on its way may take to arrive. */
const settleMs = 10_000;

/** Which driver each contender has. */
const drivers = /** @type {const} */ ({
  hawser: 'hawser-reliable',
  'udx-stream': 'udx-stream',
  'node-datachannel': 'node-datachannel',
  ws: 'ws',
});

/**
 * @param {number} messageBytes
 * @param {number} messagesPerSecond the target
 * @returns {import('./row.mjs').Row}
 */
function reliableRow(messageBytes, messagesPerSecond) {
  return {
    id: `reliable-${messageBytes}`,
    group: channelsGroup,
    title: `one peer, reliable ordered ${messageBytes}-byte messages delivered`,
    unit: 'messages/s',
    better: 'higher',
    rivals: Object.keys(drivers).filter((contender) => contender !== 'hawser'),
    target: [{ is: 'atLeast', value: messagesPerSecond }],
    does: does(drivers),
    note: 'one way between two processes, a core for each, counted by `message` events; the sender goes on while `send` says so and then waits for `drain`. Every message must arrive, in order.',

    async measure(contender, size) {
      const driver = drivers[/** @type {keyof typeof drivers} */ (contender)];
      const { messagesPerSecond: value, ...figures } = await measureStream(
        driver,
        messageBytes,
        size,
        settleMs,
      );
      return {
        value,
        details: {
          senderMicros: figures.senderMicros,
          receiverMicros: figures.receiverMicros,
          ...(Number.isFinite(figures.messagesPerDatagram)
            ? { messagesPerDatagram: figures.messagesPerDatagram }
            : {}),
          missing: figures.sent - figures.received,
          misplaced: figures.misplaced,
        },
        missed: faultsOf(figures),
      };
    },
  };
}

/**
 * @param {Pick<import('./stream.mjs').StreamFigures, 'sent' | 'received' | 'misplaced'>} figures of a run
 * @returns {string[]} how its stream was not reliable and ordered
 */
export function faultsOf({ sent, received, misplaced }) {
  const faults = [];
  if (received !== sent) faults.push(`${received} of ${sent} messages arrived`);
  if (misplaced > 0) faults.push(`${misplaced} messages out of order`);
  return faults;
}

export const rows = [reliableRow(64, 1_500_000), reliableRow(1200, 300_000)];
