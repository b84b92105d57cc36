import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { track } from '../lib/children.mjs';

const sizes = {
  full: { seconds: 20, peers: 10_000 },
  quick: { seconds: 3, peers: 10_000 },
  smoke: { seconds: 1, peers: 50 },
};

/** The limits beside the row's own target. That all peers connect is what the exit code says. */
const limits = { connectSeconds: 10, disconnected: 0, lossPercent: 0.1, bytesPerPeer: 4096 };

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'demo',
  title: 'the demonstration: 10,000 peers, round trip, 99th percentile',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 50 }],
  note: '`npm start -- --seconds 20`: gateway and load in two processes, 2 messages/s each way for each peer. All must connect within 10 s, none be disconnected, less than 0.1 % of the messages be lost, at most 4,096 bytes be taken for each peer. A quick run has 3 seconds.',

  async measure(_, size) {
    const { seconds, peers } = sizes[size];
    const folder = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
    try {
      const file = join(folder, 'report.json');
      const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
      const options = [`--seconds=${seconds}`, `--peers=${peers}`, `--json=${file}`];
      const running = promisify(execFile)(process.execPath, [command, 'demo', ...options]);
      track(running.child);
      await running;
      const report = JSON.parse(readFileSync(file, 'utf8'));
      const details = {
        connected: report.peers.connected,
        disconnected: report.peers.disconnected,
        connectSeconds: report.connectSeconds,
        lossPercent: (report.messages.lost / report.messages.sent) * 100,
        messagesPerSecond: report.messagesPerSecond,
        p50Ms: report.rttMicros.p50 / 1000,
        cpuPercent: report.server.cpuPercent,
        bytesPerPeer: report.server.bytesPerPeer,
      };
      return { value: report.rttMicros.p99 / 1000, details, missed: beyondLimits(details) };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/**
 * @param {Readonly<Record<keyof typeof limits, number>>} details
 * @returns {string[]}
 */
function beyondLimits(details) {
  const names = /** @type {(keyof typeof limits)[]} */ (Object.keys(limits));
  return names
    .filter((name) => !(details[name] <= limits[name]))
    .map((name) => `${name} ${details[name]} instead of at most ${limits[name]}`);
}
