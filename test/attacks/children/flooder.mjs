// Sends junk datagrams to a gateway from many loopback addresses at a rate, and prints how many. Forked by attack.ts.
//
// Argument: JSON {port, seconds, perSecond, template: base64, keep, sources}. Each datagram begins with the first `keep` bytes of the template,
// and goes on with random ones to the length of the template. Each source has an address 127.x.y.z in a network (/24) of its own; with
// `sources` 0 all come from 127.0.0.1.

import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Datagrams that are given to the system at a time. */
const burst = 16;
const { port, seconds, perSecond, template, keep, sources } = JSON.parse(process.argv[2] ?? '{}');
const begin = Buffer.from(template, 'base64');
const copies = Array.from({ length: 256 }, () =>
  Buffer.concat([begin.subarray(0, keep), randomBytes(begin.length - keep)]),
);
const sockets = [];
for (let index = 0; index < Math.max(1, sources); ++index) {
  const socket = createSocket('udp4');
  const address =
    sources === 0 ? '127.0.0.1' : `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
  socket.bind(0, address);
  await once(socket, 'listening');
  socket.on('error', () => undefined);
  sockets.push(socket);
}
let sent = 0;
const began = performance.now();
while (performance.now() < began + 1000 * seconds) {
  const due = ((performance.now() - began) / 1000) * perSecond;
  const done = [];
  for (let count = 0; sent < due && count < burst; ++count) {
    const socket = sockets[sent % sockets.length];
    const bytes = copies[sent % copies.length];
    ++sent;
    done.push(new Promise((resolve) => socket?.send(bytes ?? begin, port, '127.0.0.1', resolve)));
  }
  await Promise.all(done);
  // Evenly, without pauses in which a limit would recover.
  if (done.length === 0) await new Promise((resolve) => setImmediate(resolve));
}
process.stdout.write(String(sent));
for (const socket of sockets) socket.close();
