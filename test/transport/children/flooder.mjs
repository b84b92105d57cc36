// Sends datagrams to a gateway as fast as this machine sends, from many loopback addresses, and prints how many.
//
// Argument: JSON {host, port, seconds, kind, datagrams: [base64]}. Kinds:
// - garbage: random bytes of random length, every other one with a first byte of the protocol
// - replay: the given datagrams as they are
// - request: the given REQUEST with another client share each time, so that every one is new and valid

import { randomBytes, randomFillSync, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const { host, port, seconds, kind, datagrams } = JSON.parse(process.argv[2] ?? '{}');
const templates = datagrams.map((/** @type {string} */ text) => Buffer.from(text, 'base64'));
const shareOffset = 1041;
const shareBytes = 32;
const burst = 32;
const leastSent = 2000;

/** @param {number} index */
function datagram(index) {
  if (kind === 'garbage') {
    const bytes = randomBytes(randomInt(1, 1400));
    if (index % 2 === 0) bytes[0] = 0xa0 | randomInt(32);
    return bytes;
  }
  const template = templates[index % templates.length];
  if (kind === 'replay') return template;
  const bytes = Buffer.from(template);
  randomFillSync(bytes, shareOffset, shareBytes);
  return bytes;
}

const sockets = [];
for (let index = 0; index < 64; ++index) {
  const socket = createSocket('udp4');
  socket.bind(0, `127.${1 + (index % 4)}.${index}.${1 + index}`);
  await once(socket, 'listening');
  sockets.push(socket);
}
let sent = 0;
const end = performance.now() + 1000 * seconds;
// However little time it is given meanwhile, it is a flood.
while (performance.now() < end || sent < leastSent) {
  const done = [];
  for (let index = 0; index < burst; ++index) {
    const socket = sockets[sent % sockets.length];
    const bytes = datagram(sent++);
    done.push(new Promise((resolve) => socket?.send(bytes, port, host, resolve)));
  }
  await Promise.all(done);
}
process.stdout.write(String(sent));
for (const socket of sockets) socket.close();
