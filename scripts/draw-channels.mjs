// node scripts/draw-channels.mjs [file]: draws docs/images/channels-under-loss.svg, the picture of docs/channels.md: the same
// messages on a channel of each kind over the same bad network, as the simulation delivers them.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect, reliable, reliableUnordered, Server, sequenced, unreliable } from '../dist/index.js';
import { SimulatedNetwork } from '../dist/testing/index.js';
import { generateKey, mintToken } from '../dist/token/index.js';

const channels = {
  unreliable: unreliable(),
  sequenced: sequenced(),
  reliable: reliable(),
  unordered: reliableUnordered(),
};

/** @typedef {keyof typeof channels} ChannelName */
/** @typedef {{sentMs: number, receivedMs: number | undefined}} Journey */

const link = { delayMs: 30, jitterMs: 30, lossRate: 0.15, reorderRate: 0.25 };
/** The simulation holds a datagram that is overtaken back for at most its jitter and 11 ms more. */
const longestMs = link.delayMs + 2 * link.jitterMs + 11;
const messages = 32;
const intervalMs = 25;

/** @type {Record<ChannelName, {title: string, text: string}>} */
const captions = {
  unreliable: { title: 'unreliable', text: 'lost ones stay lost, none waits' },
  sequenced: { title: 'sequenced', text: 'as unreliable, and old ones are dropped' },
  reliable: { title: 'reliable', text: 'all arrive, in order: one that is lost holds up those behind it' },
  unordered: { title: 'reliable-unordered', text: 'all arrive, each as soon as it can' },
};

/**
 * Sends the messages on each channel at the same instants.
 *
 * @returns {Promise<Record<ChannelName, Journey[]>>} by channel and number
 */
export async function travel() {
  const network = new SimulatedNetwork({ seed: 3, delayMs: link.delayMs });
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
  const connection = await network.runUntil(connect(token, { network, channels }));
  // The handshake is not what the picture is about.
  network.setLink(undefined, undefined, link);
  const start = network.clock.now();
  const names = /** @type {ChannelName[]} */ (Object.keys(channels));
  const journeys = /** @type {Record<ChannelName, Journey[]>} */ (
    Object.fromEntries(names.map((name) => [name, []]))
  );
  server.on('message', (_peer, data, channel) => {
    const journey = journeys[channel][data[0] ?? 0];
    if (journey) journey.receivedMs = network.clock.now() - start;
  });
  for (let number = 0; number < messages; ++number) {
    for (const name of names) {
      journeys[name][number] = { sentMs: network.clock.now() - start, receivedMs: undefined };
      // A packet for each channel, so that each has losses of its own.
      connection.send(name, Uint8Array.of(number));
      await network.run(1);
    }
    await network.run(intervalMs - names.length);
  }
  await network.run(2000);
  await network.runUntil(server.close());
  return journeys;
}

const width = 960;
const left = 20;
const panelHeight = 150;
const top = 34;
const drop = 84;
const pixelsPerMs = (width - 2 * left) / 1010;

/** @param {number} ms */
const x = (ms) => (left + ms * pixelsPerMs).toFixed(1);

/**
 * @param {Record<ChannelName, Journey[]>} journeys
 * @returns {string} SVG
 */
export function draw(journeys) {
  const names = /** @type {ChannelName[]} */ (Object.keys(journeys));
  const height = names.length * panelHeight + 40;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13">`,
    `<title>The same messages on a channel of each kind under loss</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
  ];
  for (const [index, name] of names.entries()) {
    const y0 = index * panelHeight + top;
    const y1 = y0 + drop;
    const { title, text } = captions[name];
    const all = journeys[name];
    const lost = all.filter(({ receivedMs }) => receivedMs === undefined).length;
    parts.push(
      `<text x="${left}" y="${y0 - 12}" fill="#1b1f24"><tspan font-weight="bold">${title}</tspan>: ${text} (${all.length - lost} of ${all.length} delivered)</text>`,
      `<line x1="${left}" x2="${width - left}" y1="${y0}" y2="${y0}" stroke="#8c959f"/>`,
      `<line x1="${left}" x2="${width - left}" y1="${y1}" y2="${y1}" stroke="#8c959f"/>`,
    );
    for (const { sentMs, receivedMs } of all) {
      if (receivedMs === undefined) {
        const half = (y0 + y1) / 2;
        const at = sentMs + 18;
        parts.push(
          `<line x1="${x(sentMs)}" y1="${y0}" x2="${x(at)}" y2="${half}" stroke="#cf222e" stroke-dasharray="3 2"/>`,
          `<text x="${x(at)}" y="${half + 10}" fill="#cf222e" text-anchor="middle">&#215;</text>`,
        );
        continue;
      }
      const late = receivedMs - sentMs > longestMs;
      const colour = late ? '#bf8700' : '#0969da';
      parts.push(
        `<line x1="${x(sentMs)}" y1="${y0}" x2="${x(receivedMs)}" y2="${y1}" stroke="${colour}"/>`,
        `<circle cx="${x(receivedMs)}" cy="${y1}" r="2.5" fill="${colour}"/>`,
      );
    }
  }
  const foot = names.length * panelHeight + 20;
  const what = `Sent above, delivered below: ${messages} messages, one each ${intervalMs} ms.`;
  const network =
    `${link.delayMs} to ${link.delayMs + link.jitterMs} ms on the way, ` +
    `${link.lossRate * 100} % lost, ${link.reorderRate * 100} % overtaken.`;
  const key = `${what} Network: ${network}`;
  parts.push(
    `<text x="${left}" y="${foot}" fill="#57606a">${key}</text>`,
    `<text x="${left}" y="${foot + 16}" fill="#57606a"><tspan fill="#0969da">blue</tspan>: in time, <tspan fill="#bf8700">yellow</tspan>: late (sent again, or held up), <tspan fill="#cf222e">red</tspan>: never delivered</text>`,
    `</svg>`,
  );
  return `${parts.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file =
    process.argv[2] ?? fileURLToPath(new URL('../docs/images/channels-under-loss.svg', import.meta.url));
  writeFileSync(file, draw(await travel()));
  console.log(`drawn: ${file}`);
}
