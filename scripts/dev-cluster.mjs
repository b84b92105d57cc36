// npm run cluster [-- options]: a cluster on this machine, for development: three nodes of etcd and three gateways with sessions. `--help`
// tells the rest.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { EtcdServers, hasEtcd } from './lib/etcd.mjs';
import { root } from './lib/process.mjs';
import { omissions } from './lib/system.mjs';

const help = `Starts three nodes of etcd and three gateways with sessions on this machine, for development. Ctrl-C ends all.

Usage: npm run cluster -- [options] [-- options of each gateway]

  --port PORT       UDP, of the first gateway; the others have the next ones (default: 4433)
  --http-port PORT  the same for where they give tokens (default: 4480)
  --data DIR        keep what etcd has: the next start goes on with it (default: a temporary folder)
  --help            show this

Example: npm run cluster -- --data /tmp/cluster -- --cluster leader --handler ./my-handler.mjs
`;
const gatewayCount = 3;
const readyMs = 60_000;
const pollMs = 50;
/** Gateways that have not ended by then are killed. */
const endMs = 15_000;
const program = join(root, 'dist', 'cli', 'main.js');

/** One gateway: a process. */
class Gateway {
  name;
  address;
  http;
  #child;

  /** @param {number} index @param {{port: number, httpPort: number, store: string, key: string, more: string[]}} cluster */
  constructor(index, { port, httpPort, store, key, more }) {
    this.name = `gateway${index + 1}`;
    this.address = `127.0.0.1:${port + index}`;
    this.http = `127.0.0.1:${httpPort + index}`;
    const args = ['gateway', '--listen', this.address, '--advertise', this.address, '--http', this.http];
    // In a group of its own: Ctrl-C comes to this script, which passes it on once. A second one would end it at once.
    this.#child = spawn(process.execPath, [program, ...args, '--store', store, ...more], {
      detached: true,
      env: { ...process.env, HAWSER_KEY: key },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => console.log(`${this.name} | ${line}`));
    }
    this.#child.once('exit', (code, signal) =>
      console.log(`${this.name} | ended (${signal ?? `code ${code}`})`),
    );
  }

  get pid() {
    return this.#child.pid;
  }

  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves once it serves. */
  async ready() {
    const until = performance.now() + readyMs;
    while (!(await answers(`http://${this.http}/healthz`))) {
      if (!this.isRunning) throw new Error(`${this.name} has ended`);
      if (performance.now() > until) throw new Error(`${this.name} does not answer at ${this.http}`);
      await delay(pollMs);
    }
  }

  /** @param {NodeJS.Signals} signal */
  kill(signal) {
    if (this.isRunning) this.#child.kill(signal);
  }

  async ended() {
    if (this.isRunning) await once(this.#child, 'exit');
  }
}

/** @param {string} url */
async function answers(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1000) })).ok;
  } catch {
    return false;
  }
}

/** @param {string} name @param {string} text @param {number} most */
function portOf(name, text, most) {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= most) return port;
  throw new Error(`--${name} must be 1 to ${most}; got ${text}`);
}

/** @param {EtcdServers} etcd @param {Gateway[]} gateways @param {string} store */
function announce(etcd, gateways, store) {
  const [first] = gateways;
  const hawser = 'node dist/cli/main.js';
  const lines = [
    '',
    ...etcd.nodes.map(({ name, url, pid }) => `  ${name.padEnd(10)} ${url}, process ${pid}`),
    ...gateways.map(
      ({ name, address, http, pid }) =>
        `  ${name.padEnd(10)} udp ${address}, tokens at http://${http}/token, process ${pid}`,
    ),
    '',
    `  a token      curl -s -X POST http://${first?.http}/token`,
    `  a client     ${hawser} sessions client --token-url http://${first?.http}/token`,
    `  sessions     ${hawser} sessions ls --store ${store}`,
    '  a failure    kill -9 PROCESS, of a gateway or a node',
    '',
    'ready; Ctrl-C ends all',
  ];
  console.log(lines.join('\n'));
}

/** Resolves with the first signal; the second one ends this process, and with it whatever it has started. */
function interrupted(gateways) {
  return new Promise((resolve) => {
    let signals = 0;
    const listener = () => {
      if (++signals === 1) {
        resolve(undefined);
        return;
      }
      for (const gateway of gateways) gateway.kill('SIGKILL');
      process.exit(130);
    };
    process.on('SIGINT', listener).on('SIGTERM', listener);
  });
}

async function end(gateways) {
  for (const gateway of gateways) gateway.kill('SIGTERM');
  const late = delay(endMs, undefined, { ref: false }).then(() => {
    for (const gateway of gateways) gateway.kill('SIGKILL');
  });
  await Promise.race([late, Promise.all(gateways.map((gateway) => gateway.ended()))]);
}

async function main() {
  const { values, positionals: more } = parseArgs({
    options: {
      port: { type: 'string', default: '4433' },
      'http-port': { type: 'string', default: '4480' },
      data: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  const most = 65_536 - gatewayCount;
  const port = portOf('port', values.port, most);
  const httpPort = portOf('http-port', values['http-port'], most);
  if (!existsSync(program)) throw new Error('there is nothing to run yet; type: npm run setup');
  if (!hasEtcd) throw new Error((await omissions('test')).join('\n'));
  const { formatKey, generateKey } = await import('../dist/token/server-key.js');
  const key = process.env.HAWSER_KEY || formatKey(generateKey());

  /** @type {Gateway[]} */
  const gateways = [];
  const ending = interrupted(gateways);
  const etcd = await EtcdServers.start({
    nodes: 3,
    detached: true,
    ...(values.data && { folder: values.data }),
  });
  try {
    const store = `etcd://${etcd.urls.map((url) => new URL(url).host).join(',')}`;
    for (let index = 0; index < gatewayCount; ++index) {
      gateways.push(new Gateway(index, { port, httpPort, store, key, more }));
    }
    const ready = Promise.all(gateways.map((gateway) => gateway.ready()));
    await Promise.race([ready, ending]);
    await Promise.race([ready.then(() => announce(etcd, gateways, store)), ending]);
    await ending;
    console.log('ending');
  } finally {
    await end(gateways);
    await etcd.stop();
  }
}

try {
  await main();
} catch (error) {
  console.error(`cluster: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
