import { does, unreliableDrivers as drivers, unreliableRivals as rivals } from '../drivers/does.mjs';
import { withPrograms } from '../lib/child.mjs';
import { cores } from './row.mjs';

const messageBytes = 64;
const sizes = {
  full: { warmUp: 3000, count: 20_000 },
  quick: { warmUp: 1000, count: 3000 },
  smoke: { warmUp: 20, count: 50 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'rtt',
  title: 'one peer, 64-byte round trip, median',
  unit: 'µs',
  better: 'lower',
  rivals,
  target: [{ is: 'timesRival', value: 1, rival: 'dgram' }],
  does: does(drivers),
  note: 'one message at a time, echoed by a second process, a core for each; the 99th percentile is in the details.',

  async measure(contender, size) {
    const { warmUp, count } = sizes[size];
    const driver = drivers[/** @type {keyof typeof drivers} */ (contender)];
    return withPrograms(async (start) => {
      const echo = await start('echo', { driver }, { core: cores.far });
      const target = await echo.request('target');
      const pinger = await start('pinger', { driver, target, messageBytes }, { core: cores.near });
      await pinger.request('measure', warmUp);
      /** @type {import('../programs/pinger.mjs').RoundTrips} */
      const { distribution, lost } = await pinger.request('measure', count);
      // Before its echo ends: to some rivals the loss of the other side is an error.
      await pinger.request('close');
      return {
        value: quantile(distribution, 50),
        details: { p99Micros: quantile(distribution, 99), lost },
        distribution,
        missed: lost > 0 ? [`${lost} messages were lost`] : [],
      };
    });
  },
};

/**
 * @param {readonly import('./row.mjs').Quantile[]} distribution
 * @param {number} percent one of them
 * @returns {number}
 */
function quantile(distribution, percent) {
  return distribution.find((each) => each.percent === percent)?.value ?? Number.NaN;
}
