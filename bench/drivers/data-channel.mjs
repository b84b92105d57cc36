// Data channels of node-datachannel (libdatachannel), encrypted with DTLS. The two sides find each other by one TCP connection that
// carries what a signalling server would.
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { importRival, loopback } from './contract.mjs';

/**
 * What is used of the package; its types are not there where it is not installed.
 *
 * @typedef {object} DataChannel
 * @property {(data: Uint8Array) => boolean} sendMessageBinary false when it waits in the channel's own queue
 * @property {() => number} bufferedAmount bytes in that queue
 * @property {(bytes: number) => void} setBufferedAmountLowThreshold
 * @property {(listener: () => void) => void} onBufferedAmountLow
 * @property {(listener: () => void) => void} onOpen
 * @property {(listener: (data: Buffer | string) => void) => void} onMessage
 * @property {() => void} close
 *
 * @typedef {{unordered?: boolean, maxRetransmits?: number}} ChannelOptions reliable and ordered without any
 *
 * @typedef {object} PeerConnection
 * @property {(label: string, options?: ChannelOptions) => DataChannel} createDataChannel
 * @property {(listener: (channel: DataChannel) => void) => void} onDataChannel
 * @property {(listener: (sdp: string, type: string) => void) => void} onLocalDescription
 * @property {(listener: (candidate: string, mid: string) => void) => void} onLocalCandidate
 * @property {(sdp: string, type: string) => void} setRemoteDescription
 * @property {(candidate: string, mid: string) => void} addRemoteCandidate
 * @property {() => void} close
 *
 * @typedef {object} Package
 * @property {new (name: string, options: {iceServers: string[], bindAddress: string, mtu: number}) => PeerConnection} PeerConnection
 * @property {() => void} cleanup
 */

const library = /** @type {Package} */ (await importRival('node-datachannel'));

/** Of IP packets; by default 1280, which would cut messages of 1,200 bytes in two. */
const mtu = 1500;

/** In the channel's own queue, before the sender waits, and when it goes on. */
const queueBytes = { high: 1024 * 1024, low: 256 * 1024 };

/**
 * @param {number} window as in the contract
 * @param {ChannelOptions} [options] reliable and ordered by default
 * @returns {import('./contract.mjs').Driver}
 */
export function channelDriver(window, options = {}) {
  return {
    window,

    async listen(onMessage, { host = loopback, onDrain = () => undefined } = {}) {
      /** @type {PeerConnection | undefined} */
      let peer;
      /** @type {DataChannel | undefined} */
      let channel;
      const signalling = createServer((socket) => {
        peer = openPeer('server', host, socket);
        peer.onDataChannel((opened) => {
          channel = opened;
          use(channel, onMessage, onDrain);
        });
      });
      signalling.listen(0, host);
      await once(signalling, 'listening');
      const { port } = /** @type {import('node:net').AddressInfo} */ (signalling.address());
      return {
        target: { host, port },
        send: (data) => channel !== undefined && sendOn(channel, data),
        async close() {
          signalling.close();
          peer?.close();
          library.cleanup();
        },
      };
    },

    async connect(target, onMessage, onDrain, { host = loopback } = {}) {
      const server = /** @type {{host: string, port: number}} */ (target);
      const socket = connectTcp(server.port, server.host);
      await once(socket, 'connect');
      const peer = openPeer('client', host, socket);
      const channel = peer.createDataChannel('bench', options);
      use(channel, onMessage, onDrain);
      await new Promise((resolve) => channel.onOpen(() => resolve(undefined)));
      return {
        send: (data) => sendOn(channel, data),
        async close() {
          socket.destroy();
          peer.close();
          library.cleanup();
        },
      };
    },
  };
}

/**
 * @param {DataChannel} channel
 * @param {(data: Uint8Array) => void} onMessage
 * @param {() => void} onDrain
 */
function use(channel, onMessage, onDrain) {
  channel.setBufferedAmountLowThreshold(queueBytes.low);
  channel.onBufferedAmountLow(onDrain);
  channel.onMessage((data) => onMessage(bytesOf(data)));
}

/**
 * @param {DataChannel} channel
 * @param {Uint8Array} data
 * @returns {boolean} whether to go on
 */
function sendOn(channel, data) {
  return channel.sendMessageBinary(data) || channel.bufferedAmount() < queueBytes.high;
}

/**
 * A connection whose descriptions and candidates go over `socket`, both ways.
 *
 * @param {string} name
 * @param {string} host own address
 * @param {import('node:net').Socket} socket
 * @returns {PeerConnection}
 */
function openPeer(name, host, socket) {
  const peer = new library.PeerConnection(name, { iceServers: [], bindAddress: host, mtu });
  /** @param {unknown} message */
  const tell = (message) => socket.write(`${JSON.stringify(message)}\n`);
  peer.onLocalDescription((sdp, type) => tell({ sdp, type }));
  peer.onLocalCandidate((candidate, mid) => tell({ candidate, mid }));
  createInterface({ input: socket }).on('line', (line) => {
    const { sdp, type, candidate, mid } = JSON.parse(line);
    if (candidate === undefined) peer.setRemoteDescription(sdp, type);
    else peer.addRemoteCandidate(candidate, mid);
  });
  // The other side ends the connection when a run is over.
  socket.on('error', () => socket.destroy());
  return peer;
}

/**
 * @param {Buffer | string} data
 * @returns {Uint8Array}
 */
function bytesOf(data) {
  if (typeof data === 'string') throw new TypeError('a text came where only bytes are sent');
  return data;
}
