// node scripts/draw-reconnection.mjs [file]: draws docs/images/reconnection.svg, the picture of docs/interaction.md: when 10,000 clients that
// lose their gateway at once try to connect again, as the simulation runs it. It takes a minute or two.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client, Server } from '../dist/index.js';
import {
  Device,
  hawserConnector,
  InteractionClient,
  interactionChannels,
  seededRandom,
  serveInteraction,
  TimingWheel,
} from '../dist/interaction/index.js';
import { SimulatedNetwork } from '../dist/testing/index.js';
import { createTokenMinter, generateKey } from '../dist/token/index.js';
import { loseGateway } from './lib/reconnection.mjs';

/** @typedef {import('./lib/reconnection.mjs').Return} Return */

const modules = {
  Client,
  createTokenMinter,
  Device,
  generateKey,
  hawserConnector,
  InteractionClient,
  interactionChannels,
  seededRandom,
  Server,
  serveInteraction,
  SimulatedNetwork,
  TimingWheel,
};

const clients = 10_000;
const seed = 1;
const spreadMs = 10_000;

/** @returns {Promise<{jitter: Return[], spread: Return[]}>} */
export async function run() {
  return {
    jitter: await loseGateway(modules, { clients, firstAttemptSpreadMs: 0, seed }),
    spread: await loseGateway(modules, { clients, firstAttemptSpreadMs: spreadMs, seed }),
  };
}

/** From when each client noticed the loss to its first attempt. @param {Return[]} all */
const waits = (all) => all.map(({ noticedMs, attemptsMs }) => (attemptsMs[0] ?? 0) - noticedMs);

/**
 * How many lie in each of so many intervals.
 *
 * @param {number[]} timesMs
 * @param {number} fromMs
 * @param {number} widthMs
 * @param {number} count
 */
function histogram(timesMs, fromMs, widthMs, count) {
  const bins = Array.from({ length: count }, () => 0);
  for (const atMs of timesMs) {
    const bin = Math.min(count - 1, Math.floor((atMs - fromMs) / widthMs));
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  return bins;
}

const width = 960;
const left = 70;
const right = 24;
const seconds = 12;
const panelHeight = 190;
const panelTops = [70, 340];
const pixelsPerSecond = (width - left - right) / seconds;
const limit = 0.15;

/** @param {number} s */
const x = (s) => left + s * pixelsPerSecond;

/** @param {number} value */
const n = (value) => value.toFixed(1);

/** Light by default, dark where the reader's system is. */
const style = `
  .paper { fill: #ffffff } .ink { fill: #1b1f24 } .faint { fill: #57606a } .bar { fill: #0969da } .limit-text { fill: #bc4c00 }
  .axis { stroke: #57606a } .grid { stroke: #d0d7de } .limit { stroke: #bc4c00; stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9198a1 } .bar { fill: #4493f8 } .limit-text { fill: #f0883e }
    .axis { stroke: #9198a1 } .grid { stroke: #30363d } .limit { stroke: #f0883e }
  }`;

/**
 * @param {number} top
 * @param {string} title
 * @param {string} text
 * @param {number[]} timesMs
 * @param {number} leastLabel the share above which numbers stand
 * @returns {string[]}
 */
function panel(top, title, text, timesMs, leastLabel) {
  const foot = top + panelHeight;
  /** @param {number} share */
  const y = (share) => foot - share * panelHeight;
  const parts = [
    `<text class="ink" x="${left}" y="${top - 26}"><tspan font-weight="bold">${title}</tspan>: ${text}</text>`,
  ];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${n(y(share))}" y2="${n(y(share))}"/>`,
      `<text class="faint" x="${left - 8}" y="${n(y(share) + 4)}" text-anchor="end">${share * 100} %</text>`,
    );
  }
  for (const [second, count] of histogram(timesMs, 0, 1000, seconds).entries()) {
    if (count === 0) continue;
    const share = count / timesMs.length;
    const height = share * panelHeight;
    parts.push(
      `<rect class="bar" x="${n(x(second) + 3)}" y="${n(foot - height)}" width="${n(pixelsPerSecond - 6)}" height="${n(height)}"/>`,
      `<text class="ink" x="${n(x(second + 0.5))}" y="${n(y(Math.max(share, leastLabel)) - 6)}" text-anchor="middle">${count.toLocaleString('en')}</text>`,
    );
  }
  for (let second = 0; second <= seconds; ++second) {
    parts.push(
      `<line class="axis" x1="${n(x(second))}" x2="${n(x(second))}" y1="${foot}" y2="${foot + 5}"/>`,
      `<text class="faint" x="${n(x(second))}" y="${foot + 19}" text-anchor="middle">${second} s</text>`,
    );
  }
  parts.push(`<line class="axis" x1="${left}" x2="${width - right}" y1="${foot}" y2="${foot}"/>`);
  return parts;
}

/** The one bar of the first panel, from near. @param {number[]} timesMs @returns {string[]} */
function closeUp(timesMs) {
  const from = 470;
  const foot = panelTops[0] + panelHeight - 46;
  const bins = histogram(timesMs, 1000, 25, 10);
  const barWidth = 32;
  const most = Math.max(...bins);
  const parts = [
    `<rect class="paper" x="${from - 20}" y="${foot - 112}" width="${barWidth * bins.length + 40}" height="152"/>`,
    `<text class="faint" x="${from}" y="${foot - 96}">that bar from near: attempts in each 25 ms</text>`,
  ];
  for (const [bin, count] of bins.entries()) {
    const height = (count / most) * 66;
    const at = from + bin * barWidth;
    parts.push(
      `<rect class="bar" x="${at + 1.5}" y="${n(foot - height)}" width="${barWidth - 3}" height="${n(height)}"/>`,
      `<text class="faint" x="${at + barWidth / 2}" y="${n(foot - height - 4)}" text-anchor="middle" font-size="10">${count.toLocaleString('en')}</text>`,
    );
  }
  for (const [bin, label] of ['1.00 s', '1.125 s', '1.25 s'].entries()) {
    const at = from + (bin * barWidth * bins.length) / 2;
    parts.push(
      `<line class="axis" x1="${at}" x2="${at}" y1="${foot}" y2="${foot + 5}"/>`,
      `<text class="faint" x="${at}" y="${foot + 19}" text-anchor="middle">${label}</text>`,
    );
  }
  parts.push(
    `<line class="axis" x1="${from}" x2="${from + barWidth * bins.length}" y1="${foot}" y2="${foot}"/>`,
  );
  return parts;
}

/**
 * @param {{jitter: Return[], spread: Return[]}} returns
 * @returns {string} SVG
 */
export function draw({ jitter, spread }) {
  const [first = 0, second = 0] = panelTops;
  const limitY = n(second + panelHeight * (1 - limit));
  const height = second + panelHeight + 76;
  const many = clients.toLocaleString('en');
  const title = `When ${many} clients that lose their gateway at once try to connect again`;
  const what =
    `Share of first attempts in each second after the client noticed the loss. With the jitter of the source document all lie between 1 ` +
    `and 1.25 s; with firstAttemptSpreadMs of 10,000 no second holds more than 15 %.`;
  const inJitter = waits(jitter);
  const lastBack = Math.max(...jitter.map(({ noticedMs, backMs }) => backMs - noticedMs)) / 1000;
  const lastSpread = Math.max(...spread.map(({ noticedMs, backMs }) => backMs - noticedMs)) / 1000;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" role="img">`,
    `<title>${title}</title>`,
    `<desc>${what}</desc>`,
    `<style>${style}\n</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    ...panel(
      first,
      'the jitter of the source document',
      `1 s and up to a quarter more; all were back after ${lastBack.toFixed(1)} s`,
      inJitter,
      0,
    ),
    ...closeUp(inJitter),
    ...panel(
      second,
      'firstAttemptSpreadMs: 10_000',
      `up to 10 s more; all were back after ${lastSpread.toFixed(1)} s`,
      waits(spread),
      limit,
    ),
    `<line class="limit" x1="${left}" x2="${width - right}" y1="${limitY}" y2="${limitY}"/>`,
    `<text class="limit-text" x="${width - right}" y="${Number(limitY) - 26}" text-anchor="end">no second holds more than 15 %</text>`,
    `<text class="faint" x="${left}" y="${height - 30}">Across: time since the client noticed the loss. Up: share of the ${many} first attempts in each second, and their number.</text>`,
    `<text class="faint" x="${left}" y="${height - 12}">Simulated: the gateway falls silent after a notification to all, so that all notice at once, 5 s later; another has its address by then.</text>`,
    `</svg>`,
  ];
  return `${parts.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2] ?? fileURLToPath(new URL('../docs/images/reconnection.svg', import.meta.url));
  writeFileSync(file, draw(await run()));
  console.log(`drawn: ${file}`);
}
