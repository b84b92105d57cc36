// The socket of udx-native without its streams: plain UDP, not encrypted, one datagram per message.
import { bind } from './udx-socket.mjs';

const host = '127.0.0.1';

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 1024,

  async listen(onMessage) {
    const { socket } = bind();
    let port = 0;
    socket.on('message', (data, from) => {
      port = from.port;
      onMessage(data);
    });
    return { target: socket.address().port, send: sender(socket, () => port), close: () => socket.close() };
  },

  async connect(target, onMessage) {
    const { socket } = bind();
    socket.on('message', (data) => onMessage(data));
    return { send: sender(socket, () => Number(target)), close: () => socket.close() };
  },
};

/**
 * @param {import('./udx-socket.mjs').UdxSocket} socket
 * @param {() => number} port where to
 * @returns {(data: Uint8Array) => boolean}
 */
function sender(socket, port) {
  return (data) => {
    socket.trySend(Buffer.from(data), port(), host);
    return true;
  };
}
