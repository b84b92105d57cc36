import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wires } from '../../src/base/wire.js';
import { bytesPerPeer } from '../../src/cli/demo-report.js';
import { DemoView } from '../../src/cli/demo-view.js';
import type { GatewayStatus } from '../../src/cli/status.js';
import { hawser, RunningCommand, temporaryFolder } from './support.js';

const folder = temporaryFolder();

test.each(wires)('50 %s peers for 2 seconds, and a report of them', async (wire) => {
  const file = join(folder, `report-${wire}.json`);
  const { code, stdout, stderr } = await hawser(
    ...['demo', '--peers', '50', '--seconds', '2', '--json', file, '--wire', wire],
  );
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^\d:\d\d sending, \d+ s of 2 s \| 50 \w+ peers \| /m);
  expect(stdout).toContain(`| 50 ${wire} peers |`);
  expect(stdout).toMatch(/^Peers +50 of 50 connected in /m);

  const text = await readFile(file, 'utf8');
  const report: Record<string, unknown> & {
    messages: { sent: number; echoed: number; lost: number };
    rttMicros: { p50: number; p99: number };
    server: { cpuPercent: number; rssBytes: number; bytesPerPeer: number };
    drops: Record<string, number>;
  } = JSON.parse(text);
  expect(Object.keys(report)).toEqual([
    ...['wire', 'peers', 'connectSeconds', 'messages', 'messagesPerSecond', 'rttMicros', 'server', 'drops'],
  ]);
  expect(report.wire).toBe(wire);
  expect(report.peers).toEqual({ requested: 50, connected: 50, disconnected: 0 });
  expect(report.connectSeconds).toBeGreaterThan(0);
  // A gateway that took the key for an old one would refuse netcode tokens of the first seconds.
  expect(report.drops.tokenPredates).toBe(0);
  expect(Object.keys(report.messages)).toEqual(['sent', 'echoed', 'lost']);
  expect(report.messages.sent).toBeGreaterThan(0);
  expect(report.messages.lost).toBe(report.messages.sent - report.messages.echoed);
  expect(report.messages.echoed).toBeGreaterThan(0);
  expect(report.messagesPerSecond).toBeGreaterThan(0);
  expect(Object.keys(report.rttMicros)).toEqual(['p50', 'p99']);
  expect(report.rttMicros.p50).toBeGreaterThan(0);
  expect(report.rttMicros.p99).toBeGreaterThanOrEqual(report.rttMicros.p50);
  expect(Object.keys(report.server)).toEqual(['cpuPercent', 'rssBytes', 'bytesPerPeer']);
  expect(report.server.cpuPercent).toBeGreaterThan(0);
  expect(report.server.rssBytes).toBeGreaterThan(10 * 2 ** 20);
  expect(Number.isInteger(report.server.bytesPerPeer)).toBe(true);
  for (const reason of ['length', 'replayed', 'authentication', 'kernelReceive']) {
    expect(report.drops[reason]).toBe(0);
  }
  for (const drops of Object.values(report.drops)) expect(Number.isInteger(drops)).toBe(true);
});

test('the heading of the view tells the protocol, where the gateway is, and its driver', () => {
  const view = new DemoView('netcode', 50, undefined);
  const heading = (): string | undefined => view.lines((_, text) => text)[1];
  expect(heading()).toBe(' hawser demo  netcode');
  view.address = '127.0.0.1:1';
  view.driver = 'event loop';
  expect(heading()).toBe(' hawser demo  netcode, gateway on udp 127.0.0.1:1, event loop');
});

test('Ctrl-C ends a run without --seconds well', async () => {
  const file = join(folder, 'interrupted.json');
  const demo = new RunningCommand(['demo', '--peers', '20', '--json', file]);
  await demo.sees(/sending/);
  const { code, stdout, stderr } = await demo.interrupt();
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^Peers +20 of 20 connected in /m);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ peers: { connected: 20 } });
});

test('Ctrl-C before the --seconds are over is an interruption, with a report all the same', async () => {
  const demo = new RunningCommand(['demo', '--peers', '5', '--seconds', '600']);
  await demo.sees(/sending/);
  const { code, stdout } = await demo.interrupt();
  expect(code).toBe(130);
  expect(stdout).toMatch(/^Messages +/m);
});

test('a report that cannot be written is noticed before the run', async () => {
  const { code, stdout, stderr } = await hawser('demo', '--json', join(folder, 'none', 'report.json'));
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^hawser demo: cannot write the report to .*: no such file or directory\n$/);
});

test('the memory of a peer is the slope between a few peers and all of them', () => {
  const status = (peers: number, rssBytes: number): GatewayStatus => ({
    ...{ timeMs: 0, cpuMicros: 0, peersConnected: peers, peersDisconnected: 0, handshakesCompleted: peers },
    ...{ messagesReceived: 0, messagesSent: 0, drops: {} },
    peers,
    rssBytes,
  });
  expect(bytesPerPeer(status(1000, 50_000_000), status(10_000, 68_000_000))).toBe(2000);
  expect(bytesPerPeer(status(0, 50_000_000), status(0, 50_000_000))).toBeUndefined();
});
