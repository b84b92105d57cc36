// One side of the rows about paths: it sends or receives. Configuration: {driver, host, target, congestion, redundancy}; without a target it listens.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';
import { hello, TransferReceiver, TransferSender } from '../lib/transfer.mjs';

/**
 * @typedef {object} Config
 * @property {string} driver
 * @property {string} host own address
 * @property {unknown} [target]
 * @property {'bbr' | 'cubic'} [congestion]
 * @property {0} [redundancy]
 */

const { driver: name, host, target, ...settings } = /** @type {Config} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const receiver = new TransferReceiver();
const sender = new TransferSender((message) => side.send(message));
/** @param {Uint8Array} data */
const onMessage = (data) => receiver.receive(data);
const onDrain = () => sender.fill();
const options = { host, onDrain, ...settings };
const side = await orUnavailable(open());

/** @returns {Promise<import('../drivers/contract.mjs').Listening | import('../drivers/contract.mjs').Connected>} */
async function open() {
  if (target === undefined) return driver.listen(onMessage, options);
  const connected = await driver.connect(target, onMessage, onDrain, options);
  connected.send(hello);
  return connected;
}

/** How long the other side may take, in milliseconds. */
const heardMs = 15_000;

/** @returns {Promise<void>} rejects, and so ends this process, if nothing comes */
function heard() {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`nothing came within ${heardMs} ms`)), heardMs).unref();
    receiver.heard.then(resolve);
  });
}

/** @param {unknown} words */
const numbers = (words) => /** @type {number[]} */ (words);

serve({
  target: () => ('target' in side ? side.target : null),
  heard,
  send: (words) => sender.start(numbers(words)[0] ?? 0),
  receive: (words) => receiver.bytes(numbers(words)[0] ?? 0, numbers(words)[1] ?? 0),
  pace: (words) => sender.pace(numbers(words)[0] ?? 0, numbers(words)[1] ?? 0, numbers(words)[2] ?? 1),
  latencies: (words) => receiver.latencies(numbers(words)[0] ?? 0, numbers(words)[1] ?? 0),
  mark: processMark,
  counters: () => side.counters?.() ?? {},
  close: () => side.close(),
});
