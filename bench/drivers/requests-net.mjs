// JSON requests over TCP of node:net on loopback, without TLS: each with its length in front, those of one turn in one write.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { JsonAsker, jsonAnswer } from '../lib/json-requests.mjs';
import { RecordReader, RecordWriter } from '../lib/records.mjs';

/** Of one write: what a turn has for one of few connections, and for one of many. */
const chunkBytes = 64 * 1024;
const crowdChunkBytes = 2 * 1024;
const crowd = 16;

/** @param {number} connections */
const chunkFor = (connections) => (connections > crowd ? crowdChunkBytes : chunkBytes);

/**
 * @param {import('node:net').Socket} socket
 * @param {number} chunk bytes
 * @param {(text: string) => void} onText
 * @returns {(text: string) => void} sends one
 */
function use(socket, chunk, onText) {
  socket.setNoDelay(true);
  // The other side goes away first when a run is over, which is no fault.
  socket.on('error', () => socket.destroy());
  const reader = new RecordReader((data) => onText(data.toString()));
  socket.on('data', (data) => reader.read(data));
  const writer = new RecordWriter(chunk, (data) => socket.write(data));
  return (text) => void writer.send(Buffer.from(text));
}

/** @type {import('./requests.mjs').RequestDriver} */
export const driver = {
  async serve(connections) {
    const server = createServer((socket) => {
      const send = use(socket, chunkFor(connections), (text) => send(jsonAnswer(text)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
  },

  async connect(target, connections) {
    const asks = [];
    for (let index = 0; index < connections; ++index) {
      const socket = connect(Number(target), '127.0.0.1');
      await once(socket, 'connect');
      const asker = new JsonAsker(use(socket, chunkFor(connections), (text) => asker.receive(text)));
      asks.push(() => asker.ask());
    }
    return { asks };
  },
};
