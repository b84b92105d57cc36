// Measures round trips one after the other: the near end of `rtt`. Configuration: {driver, target, messageBytes}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, serve } from '../lib/program.mjs';
import { quantiles } from '../lib/statistics.mjs';

/** What is told of the distribution of round trips. */
const percents = [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9];

/** Without an echo for so long, a message counts as lost. */
const lostMs = 1000;

const {
  driver: name,
  target,
  messageBytes,
} = /** @type {{driver: string, target: unknown, messageBytes: number}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const message = new Uint8Array(messageBytes);
const number = new DataView(message.buffer);
let sent = 0;
let lost = 0;
let sentAt = 0;
/** @type {Float64Array} */
let samples = new Float64Array(0);
let taken = 0;
/** @type {() => void} */
let done = () => undefined;

const connected = await driver.connect(
  target,
  (data) => {
    // An echo that was taken for lost may come yet.
    if (new DataView(data.buffer, data.byteOffset).getUint32(0, true) !== sent) return;
    samples[taken++] = performance.now() - sentAt;
    if (taken === samples.length) done();
    else send();
  },
  () => undefined,
);

function send() {
  number.setUint32(0, ++sent, true);
  sentAt = performance.now();
  connected.send(message);
}

/**
 * @typedef {object} RoundTrips
 * @property {import('../rows/row.mjs').Quantile[]} distribution in microseconds
 * @property {number} lost since the begin of the program
 */

/**
 * @param {unknown} count how many round trips
 * @returns {Promise<RoundTrips>}
 */
async function measure(count) {
  samples = new Float64Array(Number(count));
  taken = 0;
  const watch = setInterval(() => {
    if (performance.now() - sentAt < lostMs) return;
    ++lost;
    send();
  }, lostMs);
  await new Promise((resolve) => {
    done = () => resolve(undefined);
    send();
  });
  clearInterval(watch);
  const micros = samples.map((ms) => ms * 1000);
  return { distribution: quantiles(micros, percents), lost };
}

serve({ measure, close: () => connected.close() });
