// node scripts/draw-redundancy.mjs [file]: draws docs/images/redundancy.svg, the picture of docs/channels.md: how long small reliable
// messages take, and how many bytes, with each setting of `redundancy`, as the simulation delivers them. It also prints the figures.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client, reliable, Server } from '../dist/index.js';
import { SimulatedNetwork } from '../dist/testing/index.js';
import { generateKey, mintToken } from '../dist/token/index.js';

/** @typedef {import('../dist/index.js').ChannelRedundancy} ChannelRedundancy */
/** @typedef {{redundancy: ChannelRedundancy, lossPercent: number, p99Ms: number, bytes: number}} Figures */

const delayMs = 30;
const messageBytes = 200;
const intervalMs = 33;
const messages = 3000;
const lossPercents = [0, 1, 2, 3, 5, 7, 10, 15, 20];
/** @type {readonly {redundancy: ChannelRedundancy, colour: string}[]} */
const settings = [
  { redundancy: 0, colour: '#57606a' },
  { redundancy: 1, colour: '#0969da' },
  { redundancy: 2, colour: '#8250df' },
  { redundancy: 3, colour: '#bf8700' },
  { redundancy: 'auto', colour: '#cf222e' },
];

/**
 * Sends messages over a path that loses packets.
 *
 * @param {ChannelRedundancy} redundancy
 * @param {number} lossPercent
 * @param {number} count of messages
 * @returns {Promise<Figures>} `bytes`: UDP payload that the sender sent
 */
export async function measure(redundancy, lossPercent, count) {
  const network = new SimulatedNetwork({ seed: 1, delayMs });
  const channels = { data: reliable(undefined, { redundancy }) };
  const key = generateKey();
  const server = await Server.listen({ network, protocolId: 1n, keys: [key], channels });
  const now = () => network.clock.wallNow();
  const token = await mintToken({
    protocolId: 1n,
    key,
    clientId: 1n,
    addresses: server.publicAddresses,
    now,
  });
  const client = await Client.open({ network, channels });
  const connection = await network.runUntil(client.connect(token));
  network.setLink(undefined, undefined, { delayMs, lossRate: lossPercent / 100 });
  /** @type {number[]} */
  const sentMs = [];
  /** @type {number[]} */
  const latenciesMs = [];
  server.on('message', () => latenciesMs.push(network.clock.now() - (sentMs[latenciesMs.length] ?? 0)));
  const before = client.stats.counters.bytesSent;
  const data = new Uint8Array(messageBytes);
  for (let number = 0; number < count; ++number) {
    sentMs.push(network.clock.now());
    connection.send('data', data);
    await network.run(intervalMs);
  }
  const bytes = client.stats.counters.bytesSent - before;
  await network.run(5000);
  if (latenciesMs.length < count) throw new Error(`only ${latenciesMs.length} of ${count} messages arrived`);
  await network.runUntil(Promise.all([client.close(), server.close()]));
  latenciesMs.sort((one, other) => one - other);
  return { redundancy, lossPercent, p99Ms: latenciesMs[Math.floor(count * 0.99)] ?? 0, bytes };
}

const left = 60;
const panelWidth = 400;
const panelHeight = 260;
const gap = 70;
const top = 40;

/** @typedef {{title: string, greatest: number, step: number, value: (figures: Figures) => number}} Panel */

/**
 * @param {readonly Figures[]} all
 * @returns {string} SVG
 */
export function draw(all) {
  const least = Math.min(...all.map(({ bytes }) => bytes));
  /** @type {readonly Panel[]} */
  const panels = [
    { title: 'latency of 99 in 100 messages, ms', greatest: 350, step: 50, value: ({ p99Ms }) => p99Ms },
    { title: 'bytes sent, times', greatest: 3, step: 0.5, value: ({ bytes }) => bytes / least },
  ];
  const width = left + panels.length * (panelWidth + gap);
  const height = top + panelHeight + 90;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<title>Latency and bytes of small messages against loss, by redundancy</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...panels.map((panel, index) => drawPanel(panel, left + index * (panelWidth + gap), all)),
  ];
  for (const [index, { redundancy, colour }] of settings.entries()) {
    const x = left + index * 90;
    const y = top + panelHeight + 50;
    parts.push(
      `<line x1="${x}" x2="${x + 24}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="${widthOf(redundancy)}"/>`,
      `<text x="${x + 30}" y="${y + 4}" fill="#1b1f24">${redundancy}</text>`,
    );
  }
  const what = `Reliable, ordered messages of ${messageBytes} bytes, 30 a second, ${delayMs} ms each way, against the share of packets that is lost, in both directions alike.`;
  parts.push(`<text x="${left}" y="${height - 12}" fill="#57606a">${what}</text>`, '</svg>');
  return `${parts.join('\n')}\n`;
}

/** @param {ChannelRedundancy} redundancy */
const widthOf = (redundancy) => (redundancy === 'auto' ? 3 : 1.5);

/**
 * @param {Panel} panel
 * @param {number} x0
 * @param {readonly Figures[]} all
 * @returns {string}
 */
function drawPanel({ title, greatest, step, value }, x0, all) {
  const greatestLoss = Math.max(...lossPercents);
  /** @param {number} loss */
  const x = (loss) => (x0 + (loss / greatestLoss) * panelWidth).toFixed(1);
  /** @param {number} at */
  const y = (at) => (top + panelHeight - (at / greatest) * panelHeight).toFixed(1);
  const parts = [`<text x="${x0}" y="${top - 16}" fill="#1b1f24" font-weight="bold">${title}</text>`];
  for (let at = 0; at <= greatest; at += step) {
    parts.push(
      `<line x1="${x0}" x2="${x0 + panelWidth}" y1="${y(at)}" y2="${y(at)}" stroke="#d0d7de"/>`,
      `<text x="${x0 - 8}" y="${Number(y(at)) + 4}" fill="#57606a" text-anchor="end">${at}</text>`,
    );
  }
  for (const loss of [0, 5, 10, 15, 20]) {
    parts.push(
      `<text x="${x(loss)}" y="${top + panelHeight + 18}" fill="#57606a" text-anchor="middle">${loss} %</text>`,
    );
  }
  for (const { redundancy, colour } of settings) {
    const points = all
      .filter((figures) => figures.redundancy === redundancy)
      .map((figures) => `${x(figures.lossPercent)},${y(value(figures))}`);
    parts.push(
      `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="${widthOf(redundancy)}"/>`,
    );
  }
  return parts.join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2] ?? fileURLToPath(new URL('../docs/images/redundancy.svg', import.meta.url));
  /** @type {Figures[]} */
  const all = [];
  for (const { redundancy } of settings) {
    for (const lossPercent of lossPercents) all.push(await measure(redundancy, lossPercent, messages));
  }
  console.table(all);
  writeFileSync(file, draw(all));
  console.log(`drawn: ${file}`);
}
