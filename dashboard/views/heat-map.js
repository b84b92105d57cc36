// The heat map of round trips: time to the right, round trips upwards, the colour says how many peers.

import { element, setText } from '../lib/dom.js';
import { count, timeOfDay } from '../lib/format.js';
import { boundText, columnStartMs, columns, heatData, percentileText, rangeText } from './heat-data.js';

/** @import { Series } from '../lib/series.js' */
/** @import { HeatData } from './heat-data.js' */

/** Left of the cells, for the bounds; below them, for the time. In pixels of the page. */
const margin = { left: 52, bottom: 20 };
const shades = 6;

/** @param {HTMLElement} place @param {HTMLElement} summary says the round trips of now in words */
export function makeHeatMap(place, summary) {
  const map = new HeatMap(place);
  return {
    /** @param {Series} series */
    show({ points, last }) {
      map.show(heatData(points));
      const [half, most] = [0.5, 0.99].map((part) => last && percentileText(last.rttMs, part));
      setText(summary, half === undefined ? 'no peer measures any' : `median ${half}, 99 % ${most}`);
    },
  };
}

class HeatMap {
  #canvas = element('canvas', { tabindex: '0', role: 'img', 'aria-describedby': 'heat-read' });
  #readout = element('p', { id: 'heat-read', class: 'readout', 'aria-live': 'polite' });
  #most = element('span');
  /** @type {HeatData | undefined} */
  #data;
  /** @type {{ column: number, row: number } | undefined} */
  #chosen;
  #size = { width: 0, height: 0 };

  /** @param {HTMLElement} place */
  constructor(place) {
    const steps = Array.from({ length: shades }, (_, shade) =>
      element('i', { class: `shade heat-${shade}` }),
    );
    const legend = element('p', { class: 'legend' }, '1', ...steps, this.#most);
    place.append(this.#canvas, element('div', { class: 'under' }, this.#readout, legend));
    this.#canvas.setAttribute('aria-label', 'Heat map of round trips in the last five minutes');
    this.#canvas.addEventListener('pointermove', ({ offsetX, offsetY }) =>
      this.#choose(this.#at(offsetX, offsetY)),
    );
    this.#canvas.addEventListener('pointerleave', () => this.#choose(undefined));
    this.#canvas.addEventListener('keydown', (event) => this.#onKey(event));
    this.#canvas.addEventListener('blur', () => this.#choose(undefined));
    new ResizeObserver(() => this.#paint()).observe(this.#canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  /** @param {HeatData} data */
  show(data) {
    this.#data = data;
    setText(this.#most, `${count(Math.max(1, data.most))} peers`);
    this.#paint();
    this.#read();
  }

  /** @param {number} x @param {number} y in pixels of the page */
  #at(x, y) {
    const { width, height } = this.#size;
    const rows = this.#data?.rows ?? 0;
    const column = Math.floor(((x - margin.left) / (width - margin.left)) * columns);
    const row = rows - 1 - Math.floor((y / (height - margin.bottom)) * rows);
    return column >= 0 && column < columns && row >= 0 && row < rows ? { column, row } : undefined;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = Object.entries(steps).find(([key]) => key === event.key)?.[1];
    const rows = this.#data?.rows ?? 0;
    if (step === undefined || rows === 0) return;
    event.preventDefault();
    const { column, row } = this.#chosen ?? { column: columns - 1, row: -1 };
    const [right = 0, up = 0] = step;
    const within = (/** @type {number} */ value, /** @type {number} */ end) =>
      Math.min(end - 1, Math.max(0, value));
    this.#choose({ column: within(column + right, columns), row: within(row + up, rows) });
  }

  /** @param {{ column: number, row: number } | undefined} cell */
  #choose(cell) {
    this.#chosen = cell;
    this.#paint();
    this.#read();
  }

  #read() {
    const data = this.#data;
    if (data === undefined || this.#chosen === undefined) {
      setText(this.#readout, 'Point at a cell, or move through them with the arrow keys.');
      return;
    }
    const { column, row } = this.#chosen;
    const peers = data.columns[column]?.counts[row];
    const known = peers === undefined ? 'not known' : `${count(peers)} ${peers === 1 ? 'peer' : 'peers'}`;
    setText(
      this.#readout,
      `${timeOfDay(columnStartMs(data, column))} · ${rangeText(data.bounds, row)} · ${known}`,
    );
  }

  #paint() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const context = this.#canvas.getContext('2d');
    if (this.#data === undefined || context === null || width === 0) return;
    this.#size = { width, height };
    const scale = devicePixelRatio;
    const [pixelWidth, pixelHeight] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== pixelWidth) this.#canvas.width = pixelWidth;
    if (this.#canvas.height !== pixelHeight) this.#canvas.height = pixelHeight;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    paintCells(context, this.#data, width - margin.left, height - margin.bottom, this.#chosen);
    paintAxes(context, this.#data, width, height);
  }
}

/** @param {string} name of a custom property of the page */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * @param {CanvasRenderingContext2D} context
 * @param {HeatData} data
 * @param {number} width of all cells
 * @param {number} height
 * @param {{ column: number, row: number } | undefined} chosen
 */
function paintCells(context, { columns: shown, rows, most }, width, height, chosen) {
  const palette = Array.from({ length: shades }, (_, shade) => colour(`--heat-${shade}`));
  const [blank, edge] = [colour('--heat-none'), colour('--text')];
  const [cellWidth, cellHeight] = [width / columns, height / rows];
  shown.forEach((distribution, column) => {
    if (distribution === undefined) return;
    for (let row = 0; row < rows; ++row) {
      const peers = distribution.counts[row] ?? 0;
      const shade = Math.floor((Math.log1p(peers) / Math.log1p(Math.max(1, most))) * (shades - 1));
      context.fillStyle = (peers === 0 ? blank : palette[shade]) ?? '';
      const top = (rows - 1 - row) * cellHeight;
      context.fillRect(margin.left + column * cellWidth, top, Math.ceil(cellWidth) - 0.5, cellHeight - 1);
    }
  });
  if (chosen === undefined) return;
  context.strokeStyle = edge;
  context.lineWidth = 1.5;
  const top = (rows - 1 - chosen.row) * cellHeight;
  context.strokeRect(margin.left + chosen.column * cellWidth - 1, top, cellWidth + 2, cellHeight - 1);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {HeatData} data
 * @param {number} width of the whole
 * @param {number} height
 */
function paintAxes(context, data, width, height) {
  const inner = height - margin.bottom;
  context.fillStyle = colour('--muted');
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const step = Math.ceil((data.rows * 15) / inner);
  for (let row = 0; row < data.rows; row += step) {
    const bound = data.bounds[row];
    const text = bound === undefined ? `> ${boundText(data.bounds.at(-1) ?? 0)}` : `≤ ${boundText(bound)}`;
    context.fillText(text, margin.left - 6, (data.rows - row - 0.5) * (inner / data.rows));
  }
  context.textBaseline = 'alphabetic';
  const minuteWidth = (width - margin.left) / 5;
  // On a narrow page the texts would run into each other.
  for (const minutes of minuteWidth < 60 ? [5, 3, 1, 0] : [5, 4, 3, 2, 1, 0]) {
    const x = margin.left + (5 - minutes) * minuteWidth;
    context.textAlign = minutes === 5 ? 'left' : minutes === 0 ? 'right' : 'center';
    context.fillText(minutes === 0 ? 'now' : `−${minutes} min`, x, height - 4);
  }
}
