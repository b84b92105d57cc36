// A stream of udx-native: reliable and ordered, not encrypted. It carries bytes, so messages are framed here.
// They are gathered into chunks of 64 KiB: a write for each 64-byte message would carry about half as many.
import { RecordReader, RecordWriter } from '../lib/records.mjs';
import { loopback } from './contract.mjs';
import { bind } from './udx-socket.mjs';

const ids = { server: 1, client: 2 };
const chunkBytes = 64 * 1024;

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage, { host = loopback, onDrain = () => undefined } = {}) {
    const { udx, socket } = bind(host);
    const stream = udx.createStream(ids.server, {
      // The first packet tells where the client is; false lets it in.
      firewall: (_, port, from) => {
        stream.connect(socket, ids.client, port, from);
        return false;
      },
    });
    stream.on('drain', onDrain);
    const send = use(stream, onMessage);
    return { target: { host, port: socket.address().port }, send, close: () => close(stream, socket) };
  },

  async connect(target, onMessage, onDrain, { host } = {}) {
    const server = /** @type {{host: string, port: number}} */ (target);
    const { udx, socket } = bind(host);
    const stream = udx.createStream(ids.client);
    stream.connect(socket, ids.server, server.port, server.host);
    stream.on('drain', onDrain);
    const send = use(stream, onMessage);
    return { send, close: () => close(stream, socket) };
  },
};

/**
 * @param {import('./udx-socket.mjs').UdxStream} stream
 * @param {(data: Uint8Array) => void} onMessage
 * @returns {(data: Uint8Array) => boolean} sends a message
 */
function use(stream, onMessage) {
  const reader = new RecordReader(onMessage);
  stream.on('data', (chunk) => reader.read(chunk));
  // The other side goes away first when a run is over, which is no fault; any earlier, the row finds messages missing.
  stream.on('error', () => stream.destroy());
  const writer = new RecordWriter(chunkBytes, (chunk) => stream.write(chunk));
  return (data) => writer.send(data);
}

/**
 * @param {import('./udx-socket.mjs').UdxStream} stream
 * @param {import('./udx-socket.mjs').UdxSocket} socket
 */
async function close(stream, socket) {
  stream.destroy();
  await socket.close();
}
