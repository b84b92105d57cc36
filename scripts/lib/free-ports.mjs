// Ports for servers whose address must be known before they listen, or must stay the same after a restart.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ports that systems give to sockets that ask for any (from 32768 on Linux, from 49152 elsewhere): a free port stays free until it
 * is used, and while its server is killed and started again.
 */
const firstPort = 10_000;
/** The first port of a block is its lock, the others are handed out. */
const portsPerBlock = 200;
const blocks = 110;
const mostPorts = 100;

/** The port that this process hands out next, and the end of its block. No block is claimed before the first call. */
let next = 0;
let end = 0;
/** Calls run one after the other. @type {Promise<unknown>} */
let last = Promise.resolve();

/**
 * Returns ports of 127.0.0.1 that are free for TCP and UDP. No other process on this machine gets them from here while this one runs.
 *
 * @param {number} count 1 to 100
 * @returns {Promise<number[]>} each is one above the one before
 * @throws Error when other processes have claimed all blocks.
 */
export function freePorts(count) {
  const ports = last.then(() => take(count));
  // The caller handles the error; the next call tries again.
  last = ports.catch(() => undefined);
  return ports;
}

/**
 * Returns `127.0.0.1` with such a port.
 *
 * @returns {Promise<string>}
 */
export async function freeAddress() {
  const [port] = await freePorts(1);
  return `127.0.0.1:${port}`;
}

/** @param {number} count */
async function take(count) {
  if (count > mostPorts) throw new RangeError(`freePorts gives at most ${mostPorts} ports; got ${count}`);
  for (;;) {
    if (next + count > end) await claimBlock();
    const ports = Array.from({ length: count }, (_, index) => next + index);
    next += count;
    const free = await Promise.all(ports.map(isFree));
    if (free.every((each) => each)) return ports;
  }
}

/** Claims a block until this process ends, however it ends: the system then closes the socket that is the lock. */
async function claimBlock() {
  const start = randomInt(blocks);
  for (let index = 0; index < blocks; ++index) {
    const lock = firstPort + ((start + index) % blocks) * portsPerBlock;
    if (!(await holdPort(lock))) continue;
    next = lock + 1;
    end = lock + portsPerBlock;
    return;
  }
  const all = `${firstPort} to ${firstPort + blocks * portsPerBlock - 1}`;
  throw new Error(`no block of free ports from ${all}: end some of the processes that use them`);
}

/**
 * Listens on a port for as long as this process runs, without keeping it alive.
 *
 * @param {number} port
 * @returns {Promise<boolean>} false when another process listens there
 */
async function holdPort(port) {
  const server = createServer((socket) => socket.destroy()).unref();
  // A listener of 'error' stays: nothing but the port itself matters.
  const listening = new Promise((resolve) => {
    server.on('listening', () => resolve(true)).on('error', () => resolve(false));
  });
  server.listen({ port, host: '127.0.0.1', exclusive: true });
  return listening;
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
