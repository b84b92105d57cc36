// The sockets of the rivals that are built on udx-native.
import { bufferBytes, importRival, loopback } from './contract.mjs';

/**
 * What is used of the package, which has no types.
 *
 * @typedef {object} UdxSocket
 * @property {(port: number, host: string) => void} bind
 * @property {() => {port: number}} address
 * @property {(bytes: number) => void} setRecvBufferSize
 * @property {(bytes: number) => void} setSendBufferSize
 * @property {(data: Uint8Array, port: number, host: string) => void} trySend keeps the data until it is sent
 * @property {(name: 'message', listener: (data: Buffer, from: {host: string, port: number}) => void) => void} on
 * @property {() => Promise<void>} close
 *
 * @typedef {object} UdxStream
 * @property {(socket: UdxSocket, remoteId: number, port: number, host: string) => void} connect
 * @property {(data: Buffer) => boolean} write
 * @property {() => void} destroy
 * @property {(name: string, listener: (data: Buffer) => void) => void} on
 *
 * @typedef {object} Udx
 * @property {() => UdxSocket} createSocket
 * @property {(id: number, options?: {firewall: (socket: UdxSocket, port: number, host: string) => boolean}) => UdxStream} createStream
 */

const { default: Udx } = /** @type {{default: new () => Udx}} */ (await importRival('udx-native'));

/**
 * @param {string} [host]
 * @returns {{udx: Udx, socket: UdxSocket}} a socket on a free port of that address
 */
export function bind(host = loopback) {
  const udx = new Udx();
  const socket = udx.createSocket();
  socket.bind(0, host);
  socket.setRecvBufferSize(bufferBytes);
  socket.setSendBufferSize(bufferBytes);
  return { udx, socket };
}
