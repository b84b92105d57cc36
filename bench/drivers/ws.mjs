// WebSockets of the package ws over TCP on loopback: reliable and ordered; not encrypted, since there is no TLS here.
import { once } from 'node:events';
import { importRival } from './contract.mjs';

/**
 * What is used of the package, which has no types.
 *
 * @typedef {object} WebSocket
 * @property {number} bufferedAmount bytes that wait to be written
 * @property {(data: Uint8Array | string, onWritten?: () => void) => void} send a client copies the data, a server keeps it
 * @property {(name: 'message', listener: (data: Buffer) => void) => void} on
 * @property {() => void} terminate
 *
 * @typedef {import('node:events').EventEmitter & {address: () => {port: number}, close: () => void}} WebSocketServer
 *
 * @typedef {object} Package
 * @property {new (url: string, options: {perMessageDeflate: boolean}) => import('node:events').EventEmitter & WebSocket} WebSocket
 * @property {new (options: {host: string, port: number}) => WebSocketServer} WebSocketServer
 */

export const library = /** @type {Package} */ (await importRival('ws'));

/** In the socket's own queue, before the sender waits. */
const queueBytes = 1024 * 1024;

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage) {
    const server = new library.WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(server, 'listening');
    /** @type {WebSocket | undefined} */
    let peer;
    server.on('connection', (/** @type {WebSocket} */ connected) => {
      peer = connected;
      connected.on('message', onMessage);
    });
    return {
      target: server.address().port,
      send: (data) => {
        peer?.send(Buffer.from(data));
        return true;
      },
      async close() {
        peer?.terminate();
        server.close();
      },
    };
  },

  async connect(target, onMessage, onDrain) {
    const socket = new library.WebSocket(`ws://127.0.0.1:${target}`, { perMessageDeflate: false });
    const [[response]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'open')]);
    const gather = gathering(response.socket);
    socket.on('message', onMessage);
    return {
      send: (data) => {
        gather();
        const goOn = socket.bufferedAmount < queueBytes;
        // The last one before a pause tells when all of them are written, which may be at once: then the event loop has its turn.
        if (goOn) socket.send(data);
        else socket.send(data, () => setImmediate(onDrain));
        return goOn;
      },
      async close() {
        socket.terminate();
      },
    };
  },
};

/**
 * A write for each small message would be much slower: what one turn sends is written at once.
 *
 * @param {import('node:net').Socket} tcp
 * @returns {() => void} to be called before a message is sent
 */
export function gathering(tcp) {
  let corked = false;
  return () => {
    if (corked) return;
    corked = true;
    tcp.cork();
    process.nextTick(() => {
      corked = false;
      tcp.uncork();
    });
  };
}
