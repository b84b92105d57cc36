import { withPrograms } from '../lib/child.mjs';
import { cores } from './row.mjs';

const messageBytes = 64;
const sizes = {
  full: { warmUp: 5000, count: 30_000 },
  quick: { warmUp: 2000, count: 5000 },
  smoke: { warmUp: 20, count: 50 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'rtt',
  title: 'one peer, 64-byte round trip, median',
  unit: 'µs',
  better: 'lower',
  rivals: ['dgram'],
  target: { value: 1, is: 'noWorseThanRival' },
  note: 'one message at a time, echoed by a second process, a core for each; the 99th percentile is in the details. dgram is not encrypted.',

  async measure(contender, size) {
    const { warmUp, count } = sizes[size];
    return withPrograms(async (start) => {
      const echo = await start('echo', { driver: contender }, { core: cores.far });
      const target = await echo.request('target');
      const pinger = await start('pinger', { driver: contender, target, messageBytes }, { core: cores.near });
      await pinger.request('measure', warmUp);
      /** @type {{p50Micros: number, p99Micros: number, lost: number}} */
      const { p50Micros, p99Micros, lost } = await pinger.request('measure', count);
      await pinger.request('close');
      await echo.request('close');
      return { value: p50Micros, details: { p99Micros, lost } };
    });
  },
};
