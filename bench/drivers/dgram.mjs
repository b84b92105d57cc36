// Plain node:dgram: no encryption, one datagram per message.
import { openClient, openServer } from './dgram-socket.mjs';

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 1024,
  wrap: async (message) => message,
  // node:dgram has new memory for every message that comes.
  listen: (onMessage) =>
    openServer(
      onMessage,
      (data) => Buffer.from(data),
      (data) => data,
    ),
  connect: (target, onMessage) => openClient(target, onMessage, (data) => Buffer.from(data)),
};
