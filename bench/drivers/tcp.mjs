// TCP of the kernel through node:net, without TLS: reliable and ordered. It carries bytes, so messages are framed here, gathered into writes
// of 64 KiB.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { RecordReader, RecordWriter } from '../lib/records.mjs';
import { loopback } from './contract.mjs';

const chunkBytes = 64 * 1024;

/**
 * @param {import('node:net').Socket} socket
 * @param {(data: Uint8Array) => void} onMessage
 * @param {() => void} onDrain
 * @returns {(data: Uint8Array) => boolean} sends a message
 */
function use(socket, onMessage, onDrain) {
  socket.setNoDelay(true);
  // The other side goes away first when a run is over, which is no fault.
  socket.on('error', () => socket.destroy());
  socket.on('drain', onDrain);
  const reader = new RecordReader(onMessage);
  socket.on('data', (data) => reader.read(data));
  const writer = new RecordWriter(chunkBytes, (chunk) => socket.write(chunk));
  return (data) => writer.send(data);
}

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage, { host = loopback, onDrain = () => undefined } = {}) {
    /** @type {import('node:net').Socket | undefined} */
    let peer;
    /** @type {((data: Uint8Array) => boolean) | undefined} */
    let send;
    const server = createServer((socket) => {
      peer = socket;
      send = use(socket, onMessage, onDrain);
    });
    server.listen(0, host);
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    return {
      target: { host, port },
      send: (data) => send?.(data) ?? false,
      async close() {
        peer?.destroy();
        server.close();
      },
    };
  },

  async connect(target, onMessage, onDrain) {
    const { host, port } = /** @type {{host: string, port: number}} */ (target);
    const socket = connect(port, host);
    await once(socket, 'connect');
    return {
      send: use(socket, onMessage, onDrain),
      async close() {
        socket.destroy();
      },
    };
  },
};
