// What `hawser doctor` looks at. Each check finds one thing and says what to change where that is not what it should be.

import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, freemem, release } from 'node:os';
import { mintToken } from '../token/mint.js';
import { generateKey } from '../token/server-key.js';
import { Client } from '../transport/client.js';
import { addonFile, checkNodeVersion, loadAddon } from '../transport/native.js';
import type { ServerOptions } from '../transport/options.js';
import { Server } from '../transport/server.js';
import { driverText } from './driver.js';
import { describeError } from './errors.js';
import { sourceAddress } from './source-address.js';
import { bytes, count, micros } from './terminal.js';

export type CheckStatus = 'ok' | 'warn' | 'fail';

/** What a check found. */
export interface CheckResult {
  readonly name: string;
  readonly status: CheckStatus;
  readonly found: string;
  /** What to change; undefined where nothing needs to be. */
  readonly advice: string | undefined;
}

const wantedBufferBytes = 4 * 1024 * 1024;
const wantedFiles = 1024;
/** Some 100 MiB for Node itself, and as much for 10,000 peers with what is on its way to them. */
const wantedMemoryBytes = 256 * 1024 * 1024;

function ok(name: string, found: string): CheckResult {
  return { name, status: 'ok', found, advice: undefined };
}

function warn(name: string, found: string, advice: string): CheckResult {
  return { name, status: 'warn', found, advice };
}

function fail(name: string, found: string, advice: string): CheckResult {
  return { name, status: 'fail', found, advice };
}

/** How the gateway is to be driven. */
export type CheckedDriver = Pick<ServerOptions, 'driver' | 'spinMicros' | 'threads'>;

/** All checks, in the order in which they depend on each other. */
export async function runChecks(driver: CheckedDriver): Promise<CheckResult[]> {
  const results = [checkNode(), checkPlatform(), checkAddon()];
  if (results.every(({ status }) => status !== 'fail')) {
    results.push(checkLibsodium(), ...(await checkSockets()), await checkLoopback(driver));
  }
  results.push(checkFiles(), checkMemory(), checkProcessors(driver));
  return results;
}

function checkNode(): CheckResult {
  const found = process.version;
  try {
    checkNodeVersion(process.versions.node);
    return ok('Node.js', found);
  } catch (error) {
    return fail('Node.js', found, describeError(error));
  }
}

function checkPlatform(): CheckResult {
  const name = 'platform';
  const found = `${process.platform} ${release()}, ${process.arch}`;
  if (process.platform !== 'linux') {
    return warn(
      name,
      found,
      'batched system calls (recvmmsg, sendmmsg) are used on Linux only; expect less throughput',
    );
  }
  // sendmmsg(2) came with 3.0, recvmmsg(2) before.
  const [major = 0] = release().split('.').map(Number);
  if (major < 3) return fail(name, found, 'recvmmsg and sendmmsg need Linux 3.0 or later');
  return ok(name, `${found}, with recvmmsg and sendmmsg`);
}

const addonOrigins = {
  environment: 'named by HAWSER_ADDON',
  build: 'compiled on this machine',
  prebuild: 'prebuilt',
} as const satisfies Record<ReturnType<typeof addonFile>['origin'], string>;

function checkAddon(): CheckResult {
  const name = 'addon';
  try {
    const { version } = loadAddon();
    const { path, origin } = addonFile();
    return ok(name, `${version}, ${addonOrigins[origin]}: ${path}`);
  } catch (error) {
    return fail(name, 'cannot be loaded', describeError(error));
  }
}

function checkLibsodium(): CheckResult {
  return ok('libsodium', `${loadAddon().sodiumVersion}, inside the addon`);
}

// ---- Sockets -------------------------------------------------------------------------------------------------------

async function checkSockets(): Promise<CheckResult[]> {
  try {
    await using server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId: 1n,
      keys: [generateKey()],
    });
    const { receiveBytes, sendBytes } = server.buffers;
    return [
      checkBuffer('receive buffer', receiveBytes, 'rmem_max', 'bursts from many peers are lost'),
      checkBuffer('send buffer', sendBytes, 'wmem_max', 'sending to many peers at once stalls'),
    ];
  } catch (error) {
    return [fail('socket', 'no UDP socket can be opened', describeError(error))];
  }
}

function checkBuffer(name: string, granted: number, limit: string, consequence: string): CheckResult {
  const found = `${bytes(granted)} of ${bytes(wantedBufferBytes)}`;
  if (granted >= wantedBufferBytes) return ok(name, found);
  const advice =
    process.platform === 'linux'
      ? `${consequence}; run "sudo sysctl -w net.core.${limit}=${wantedBufferBytes}" and put it into /etc/sysctl.d to keep it`
      : `${consequence}; raise the system's limit of socket buffers`;
  return warn(name, found, advice);
}

/** A gateway and a peer in this process: the whole way through the kernel and back. */
async function checkLoopback(driver: CheckedDriver): Promise<CheckResult> {
  const name = 'loopback';
  const key = generateKey();
  const protocolId = 1n;
  const localAddress = process.platform === 'linux' ? sourceAddress(0) : undefined;
  try {
    await using server = await Server.listen({ address: '127.0.0.1:0', protocolId, keys: [key], ...driver });
    server.on('message', (peer, data) => {
      peer.send(data);
    });
    await using client = await Client.open({ address: '0.0.0.0:0' });
    const token = await mintToken({ protocolId, key, clientId: 1n, addresses: [server.address] });
    const connection = await client.connect(token, {
      timeoutMs: 2000,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const sentAt = performance.now();
    connection.send(new Uint8Array(64));
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no message came back within 2 s')), 2000);
      connection.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    const from = localAddress === undefined ? '' : ` from ${localAddress}`;
    return ok(
      name,
      `a peer${from} connects, its message is back after ${micros((performance.now() - sentAt) * 1000)}`,
    );
  } catch (error) {
    return fail(
      name,
      describeError(error),
      driver.driver === 'threads' && process.platform !== 'linux'
        ? 'leave --driver out: the event loop works everywhere'
        : 'UDP on 127.0.0.0/8 must not be blocked; look at the firewall rules of this machine',
    );
  }
}

// ---- Limits --------------------------------------------------------------------------------------------------------

function checkFiles(): CheckResult {
  const name = 'open files';
  const limits = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return ok(name, 'not known on this system; a gateway needs one for all its peers');
  if (soft === 'unlimited' || Number(soft) >= wantedFiles)
    return ok(name, `${soft} (all peers share one socket, or those of the I/O threads)`);
  return warn(name, soft, `run "ulimit -n ${wantedFiles}" before the gateway`);
}

function checkMemory(): CheckResult {
  const name = 'memory';
  // A control group may allow less than the machine has.
  const available = Math.min(availableMemory(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  const found = `${bytes(available)} available`;
  if (available >= wantedMemoryBytes) return ok(name, found);
  return warn(name, found, `a gateway with 10,000 peers wants ${bytes(wantedMemoryBytes)}`);
}

/** On Linux what can be had without swapping, caches included. */
function availableMemory(): number {
  const info = existsSync('/proc/meminfo') ? readFileSync('/proc/meminfo', 'utf8') : '';
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(info)?.[1];
  return kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
}

function checkProcessors({ driver, threads = 1 }: CheckedDriver): CheckResult {
  const usable = availableParallelism();
  const found = `${count(usable)} usable`;
  const wanted = threads + 1;
  if (driver === 'threads' && usable < wanted) {
    const consumers = `JavaScript and ${driverText({ driver, threads })}`;
    return warn('processors', found, `${consumers} want ${wanted}: with fewer, they wait for each other`);
  }
  if (usable > 1) return ok('processors', found);
  return warn('processors', found, 'a gateway and its load share one: figures of "hawser demo" will be low');
}
