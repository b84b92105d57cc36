// The figures at the top: what they are now, and the last five minutes.

import { element, setText } from '../lib/dom.js';
import { bytes, count, digits, milliseconds, percent, rate } from '../lib/format.js';
import { seriesMs } from '../lib/series.js';
import { Sparkline } from '../lib/sparkline.js';

/** @import { Point, Series } from '../lib/series.js' */

/**
 * @typedef {object} Figure
 * @property {string} title
 * @property {readonly ((point: Point) => number)[]} values one for each line
 * @property {readonly string[]} [names] of the lines, where there are two
 * @property {(value: number) => string} format
 * @property {string} [unit]
 * @property {number} least what the top of the lines stands for at least
 */

/** @type {readonly Figure[]} */
const figures = [
  { title: 'Peers', values: [({ peers }) => peers], format: count, least: 4 },
  {
    title: 'Messages',
    values: [({ messagesIn }) => messagesIn, ({ messagesOut }) => messagesOut],
    names: ['in', 'out'],
    format: rate,
    unit: '/s',
    least: 10,
  },
  {
    title: 'Traffic',
    values: [({ mbitIn }) => mbitIn, ({ mbitOut }) => mbitOut],
    names: ['in', 'out'],
    format: digits,
    unit: 'Mbit/s',
    least: 0.1,
  },
  {
    title: 'Packets lost',
    values: [({ loss }) => loss, ({ spuriousLoss }) => spuriousLoss],
    names: ['all', 'spurious'],
    format: percent,
    least: 0.01,
  },
  { title: 'Dropped', values: [({ drops }) => drops], format: rate, unit: '/s', least: 10 },
  { title: 'CPU, of one core', values: [({ cpu }) => cpu], format: percent, least: 0.2 },
  { title: 'Memory', values: [({ rssBytes }) => rssBytes], format: bytes, least: 1 },
  {
    title: 'Loop delay, p99',
    values: [({ loopDelayMs }) => loopDelayMs],
    format: milliseconds,
    least: 10,
  },
];

/** @param {HTMLElement} list */
export function makeTiles(list) {
  const tiles = figures.map((figure) => new Tile(figure));
  list.replaceChildren(...tiles.map((tile) => tile.element));
  return {
    /** @param {Series} series */
    show(series) {
      for (const tile of tiles) tile.show(series);
    },
  };
}

class Tile {
  #figure;
  #values;
  #spark;
  element;

  /** @param {Figure} figure */
  constructor(figure) {
    this.#figure = figure;
    this.#spark = new Sparkline(figure.values.length);
    this.#values = figure.values.map(() => element('span', { class: 'value' }, '–'));
    const shown = this.#values.map((value, index) => {
      const name = figure.names?.[index];
      const label = name === undefined ? undefined : element('span', { class: `key line-${index}` }, name);
      return element('p', { class: 'figure' }, value, label);
    });
    const unit = figure.unit === undefined ? undefined : element('span', { class: 'unit' }, figure.unit);
    this.element = element(
      'li',
      { class: 'tile', 'data-figure': figure.title },
      element('h2', {}, figure.title, unit),
      element('div', { class: 'values' }, ...shown),
      this.#spark.element,
    );
  }

  /** @param {Series} series */
  show({ line, last }) {
    if (last === undefined) return;
    const { values, format, least } = this.#figure;
    values.forEach((value, index) => {
      const place = this.#values[index];
      if (place !== undefined) setText(place, format(value(last)));
    });
    const lines = values.map((value) => line.map((point) => ({ timeMs: point.timeMs, value: value(point) })));
    this.#spark.draw(lines, last.timeMs - seriesMs, last.timeMs, least);
  }
}
