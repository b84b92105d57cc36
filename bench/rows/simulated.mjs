// Figures of reliable channels on simulated networks: native/bench/channels_simulation.cpp runs the engine in virtual time.
import { runNative } from '../lib/native.mjs';
import { channelsGroup } from './row.mjs';

/** @typedef {'bbr' | 'cubic'} Controller */

/**
 * What the parts of the program print together for each congestion controller. The link: 50 ms round trip, 100 Mbit/s of UDP payload, a queue of one
 * bandwidth-delay product (625,000 bytes) that drops what does not fit.
 *
 * @typedef {object} ControllerFigures
 * @property {number} goodputShareLoss0 message bytes of one flow delivered, as a part of the link; no packet is lost at random
 * @property {number} goodputShareLoss1 the same with 1 % of the packets lost
 * @property {number} goodputMbitLoss5 Mbit/s with 5 % lost
 * @property {number} largerShareOfTwo the part of the faster one of two flows, 0.5 to 1: over 60 s, after both have run for 20 s
 * @property {number} addedDelayMsP99 what a transfer of 1 MB on the idle link adds to the 99th percentile of the delay of 60 unreliable
 * messages a second beside it
 *
 * @typedef {Record<Controller, ControllerFigures>} Figures
 */

const linkMbit = 100;
/** Goodput in Mbit/s by the percentage of packets lost. @type {Record<number, (figures: ControllerFigures) => number>} */
const goodputOf = {
  0: ({ goodputShareLoss0 }) => goodputShareLoss0 * linkMbit,
  1: ({ goodputShareLoss1 }) => goodputShareLoss1 * linkMbit,
  5: ({ goodputMbitLoss5 }) => goodputMbitLoss5,
};
/** The least goodput in Mbit/s by controller and loss; where there is none, it is only stated. @type {Record<Controller, Record<number, number>>} */
const leastGoodput = {
  bbr: { 0: 0.9 * linkMbit, 1: 0.8 * linkMbit, 5: 20 },
  cubic: { 0: 0.9 * linkMbit },
};
const greatestSharePercent = 60;
const greatestAddedMs = 5;
const link = 'virtual time, exact: 50 ms round trip, 100 Mbit/s, a queue of one bandwidth-delay product';

/**
 * @param {() => Promise<Figures>} figures
 * @returns {import('./row.mjs').Row[]} one for each figure
 */
export function simulatedRows(figures) {
  return /** @type {Controller[]} */ (['bbr', 'cubic']).flatMap((controller) => {
    const name = controller.toUpperCase();
    const goodput = Object.entries(goodputOf).map(([loss, goodputIn]) => {
      const least = leastGoodput[controller][Number(loss)];
      return simulatedRow({
        id: `goodput-${controller}-${loss}`,
        title: `${name}, goodput of one flow with ${loss} % of the packets lost`,
        unit: 'Mbit/s',
        better: 'higher',
        ...(least !== undefined && { target: [{ is: 'atLeast', value: least }] }),
        note: `${link}.`,
        take: async () => goodputIn((await figures())[controller]),
      });
    });
    const share = simulatedRow({
      id: `share-${controller}`,
      title: `${name}, part of the faster one of two flows`,
      unit: '%',
      better: 'lower',
      target: [{ is: 'atMost', value: greatestSharePercent }],
      note: `${link}; over 60 s, after both have run for 20 s.`,
      take: async () => (await figures())[controller].largerShareOfTwo * 100,
    });
    const latency = simulatedRow({
      id: `latency-${controller}`,
      title: `${name}, delay that a transfer of 1 MB adds to unreliable messages, 99th percentile`,
      unit: 'ms',
      better: 'lower',
      // Of the default alone: a queue of this size is what CUBIC fills.
      ...(controller === 'bbr' && { target: [{ is: 'atMost', value: greatestAddedMs }] }),
      note: `${link}, idle before; 60 messages a second beside the transfer.`,
      take: async () => (await figures())[controller].addedDelayMsP99,
    });
    return [...goodput, share, latency];
  });
}

/**
 * @param {Omit<import('./row.mjs').Row, 'group' | 'rivals' | 'exact' | 'measure'> & {take: () => Promise<number>}} row
 * @returns {import('./row.mjs').Row}
 */
function simulatedRow({ take, ...row }) {
  return {
    ...row,
    group: channelsGroup,
    rivals: [],
    exact: true,
    async measure() {
      const value = await take();
      if (value === undefined || !Number.isFinite(value))
        throw new Error('the simulation gave no such figure');
      return { value };
    },
  };
}

/** What the program takes for a part of its figures. */
const parts = ['loss0', 'loss1', 'loss5', 'share', 'delay'];

/**
 * Virtual time: the parts may run beside each other, on all cores.
 *
 * @returns {Promise<Figures>}
 */
async function simulate() {
  const printed = await Promise.all(
    parts.map((part) => /** @type {Promise<Figures>} */ (runNative('channels_simulation', [part]))),
  );
  /** @param {Controller} controller @returns {ControllerFigures} */
  const together = (controller) => Object.assign({}, ...printed.map((figures) => figures[controller]));
  return { bbr: together('bbr'), cubic: together('cubic') };
}

/** @type {Promise<Figures> | undefined} */
let figures;

export const rows = simulatedRows(() => {
  // Whoever asks first runs it for all.
  figures ??= simulate();
  return figures;
});
