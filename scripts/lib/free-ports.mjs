// Ports for what has to be at an address that is known before it is there, or at the same one as something else was.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below those that systems give to whoever asks for any (from 32768 on Linux, from 49152 elsewhere): what was free stays free until it is used,
 * and also while whoever has it is killed and started again.
 */
const firstPort = 10_000;
/** Test files that run at the same time do so in workers of different numbers, each of which has ports of its own. */
const portsOfWorker = 1000;
const workers = 22;
const worker = Number(process.env.VITEST_POOL_ID ?? 0) % workers;
const ownPort = firstPort + worker * portsOfWorker;
/** Not to be given again: whoever has them may not have begun to listen. @type {Set<number>} */
const given = new Set();

/**
 * Ports of 127.0.0.1 that nobody uses for TCP or UDP, and that this process has given to nobody.
 *
 * @param {number} count 1 to 100; each port is one above the one before
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  for (;;) {
    const first = ownPort + randomInt(portsOfWorker - count);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if (ports.some((port) => given.has(port))) continue;
    for (const port of ports) given.add(port);
    const free = await Promise.all(ports.map(isFree));
    if (free.every((each) => each)) return ports;
  }
}

/**
 * `127.0.0.1` with such a port.
 *
 * @returns {Promise<string>}
 */
export async function freeAddress() {
  const [port] = await freePorts(1);
  return `127.0.0.1:${port}`;
}

/** @param {number} port */
async function isFree(port) {
  const server = createServer().listen(port, '127.0.0.1');
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  const bound = await Promise.allSettled([once(server, 'listening'), once(socket, 'listening')]);
  await Promise.all([
    new Promise((resolve) => server.close(resolve)),
    new Promise((resolve) => socket.close(() => resolve(undefined))),
  ]);
  return bound.every(({ status }) => status === 'fulfilled');
}
