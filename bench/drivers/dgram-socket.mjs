// The sockets of the rivals that are built on node:dgram.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { bufferBytes } from './contract.mjs';

/**
 * @param {(data: Uint8Array) => void} onDatagram
 * @param {(data: Uint8Array) => Uint8Array} wrap makes a datagram of its own of a message, whose memory is used again
 * @param {(data: Uint8Array) => Uint8Array} [wrapBack] the same of a message that came, whose memory is not
 * @returns {Promise<import('./contract.mjs').Listening>}
 */
export async function openServer(onDatagram, wrap, wrapBack = wrap) {
  const socket = await bind();
  let port = 0;
  let address = '';
  socket.on('message', (data, remote) => {
    ({ port, address } = remote);
    onDatagram(data);
  });
  return {
    target: socket.address().port,
    send: (data) => {
      socket.send(wrap(data), port, address);
      return true;
    },
    sendBack: (data) => {
      socket.send(wrapBack(data), port, address);
      return true;
    },
    close: () => close(socket),
  };
}

/**
 * @param {unknown} target
 * @param {(data: Uint8Array) => void} onDatagram
 * @param {(data: Uint8Array) => Uint8Array} wrap
 * @returns {Promise<import('./contract.mjs').Connected>}
 */
export async function openClient(target, onDatagram, wrap) {
  const socket = await bind();
  // Connected, so that no address is looked up for each message: what someone who cares for speed does.
  const connected = once(socket, 'connect');
  socket.connect(Number(target), '127.0.0.1');
  await connected;
  socket.on('message', onDatagram);
  return {
    send: (data) => {
      socket.send(wrap(data));
      return true;
    },
    close: () => close(socket),
  };
}

/** @returns {Promise<import('node:dgram').Socket>} */
async function bind() {
  // An address needs no look-up, which would cost each message a turn of the event loop.
  const socket = createSocket({ type: 'udp4', lookup: (host, _, done) => done(null, host, 4) });
  const listening = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await listening;
  socket.setRecvBufferSize(bufferBytes);
  socket.setSendBufferSize(bufferBytes);
  return socket;
}

/** @param {import('node:dgram').Socket} socket */
async function close(socket) {
  socket.close();
  await once(socket, 'close');
}
