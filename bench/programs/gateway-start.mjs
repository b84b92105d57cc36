// A process that does nothing but open its first socket, and tells how long that took. Configuration: see `Configuration`.
// Nothing of the package may be loaded before the clock runs.
import { configuration, processMark, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {'gateway' | 'transport' | 'dgram'} what is opened
 * @property {string} [control] the path of the control socket of a gateway
 */

const address = '127.0.0.1:0';
const { what, control = '' } = /** @type {Configuration} */ (configuration());
const begin = processMark();
const begunMs = performance.now();
const { importedMs, bound } = await start();
const openedMs = performance.now();
const end = processMark();

/** @returns {Promise<{importedMs: number, bound: number}>} when the import was through, and how many sockets are bound */
function start() {
  switch (what) {
    case 'gateway':
      return startGateway();
    case 'transport':
      return startTransport();
    case 'dgram':
      return startSocket();
  }
}

/** With what a gateway has when nothing is said, but for ports that may be taken. */
async function startGateway() {
  const { openGateway } = await import('../../dist/gateway/index.js');
  const importedMs = performance.now();
  const { servers, urls } = await openGateway({
    listeners: [{ address }],
    admin: { address },
    control,
    log: { level: 'warn' },
  });
  const isWhole = urls.admin !== undefined && urls.control === control;
  return { importedMs, bound: isWhole ? servers.length : 0 };
}

async function startTransport() {
  const { Server } = await import('../../dist/index.js');
  const { generateKey } = await import('../../dist/token/server-key.js');
  const importedMs = performance.now();
  const server = await Server.listen({ address, protocolId: 1n, keys: [generateKey()] });
  return { importedMs, bound: server.address === '' ? 0 : 1 };
}

async function startSocket() {
  const { createSocket } = await import('node:dgram');
  const importedMs = performance.now();
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.bind(0, '127.0.0.1', () => resolve(undefined)));
  return { importedMs, bound: socket.address().port > 0 ? 1 : 0 };
}

serve({
  started: () => ({
    bound,
    totalMs: openedMs - begunMs,
    importMs: importedMs - begunMs,
    cpuMs: (end.cpuMicros - begin.cpuMicros) / 1000,
    rssBytes: end.rssBytes,
  }),
});
