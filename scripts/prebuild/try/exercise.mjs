// What try.mjs runs on each Node.js: the package as it is built here, with the addon that HAWSER_ADDON names, over real
// UDP sockets. Prints one line of JSON: what it ran on and what it did, or why it failed.
import { writeSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

const root = new URL('../../../dist/', import.meta.url);
const { connect, Server, reliable, bytes, unreliable } = await import(new URL('index.js', root).href);
const { generateKey, mintToken } = await import(new URL('token/index.js', root).href);
const protocolId = 7n;
const channels = { orders: reliable(bytes()), moves: unreliable(bytes()) };

/** One that differs from every other by its content. */
function messageOf(number, size) {
  return Uint8Array.from({ length: size }, (_, index) => (number * 31 + index * 7) & 255);
}

/** Sends messages and compares what comes back; each lost one would be waited for in vain. */
async function echo(connection, count, size) {
  let next = 0;
  const done = new Promise((resolve, reject) => {
    connection.on('message', (data, channel) => {
      if (channel !== 'orders') return;
      const wanted = messageOf(next, size);
      if (Buffer.compare(data, wanted) !== 0) reject(new Error(`message ${next} came back as another`));
      next += 1;
      if (next === count) resolve();
    });
  });
  for (let number = 0; number < count; number += 1) {
    connection.send('orders', messageOf(number, size));
    connection.send('moves', messageOf(number, 32));
  }
  await done;
  connection.removeAllListeners('message');
}

/** A gateway and a peer on one address: handshake, messages, new keys, messages under them, goodbye. */
async function session(address) {
  const key = generateKey();
  const server = await Server.listen({ address, protocolId, keys: [key], channels });
  server.on('message', (peer, data, channel) => peer.send(channel, data));
  const token = await mintToken({ protocolId, key, clientId: 42n, addresses: server.publicAddresses });
  const connection = await connect(token, { channels });
  await echo(connection, 200, 100);
  await echo(connection, 4, 40_000);
  await connection.updateKeys();
  await echo(connection, 50, 1000);
  await connection.close();
  await server.close();
}

async function exercise() {
  const started = performance.now();
  const addresses = ['127.0.0.1:0', '[::1]:0', '0.0.0.0:0'];
  const done = [];
  for (const address of addresses) {
    try {
      await session(address);
      done.push(address);
    } catch (error) {
      // A container may have no IPv6.
      if (error.code !== 'ERR_HAWSER_SOCKET' || !address.startsWith('[')) throw error;
    }
  }
  return { addresses: done, ms: Math.round(performance.now() - started) };
}

let result;
try {
  result = await exercise();
} catch (error) {
  result = { error: error.stack };
}
const { version, platform, arch } = process;
const libc =
  platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : '';
// Not through process.stdout: that of a worker goes through a main thread that waits for this.
writeSync(1, `${JSON.stringify({ version, platform, arch, libc, ...result })}\n`);
if (!isMainThread && workerData?.done !== undefined) {
  Atomics.store(workerData.done, 0, 1);
  Atomics.notify(workerData.done, 0);
} else {
  process.exit(result.error === undefined ? 0 : 1);
}
