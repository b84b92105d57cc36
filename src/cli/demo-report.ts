// What a run of the demonstration found: the content of its JSON report, and the summary for people.

import { writeFileSync } from 'node:fs';
import type { Wire } from '../base/wire.js';
import { CommandError, systemReason } from './errors.js';
import type { LoadStatus } from './load.js';
import { type GatewayStatus, newDrops } from './status.js';
import { bytes, count, micros, type Paint, percent } from './terminal.js';

/** The report of `hawser demo --json FILE`; docs/cli.md says how each value is measured. */
export interface DemoReport {
  readonly wire: Wire;
  readonly peers: { readonly requested: number; readonly connected: number; readonly disconnected: number };
  readonly connectSeconds: number;
  readonly messages: { readonly sent: number; readonly echoed: number; readonly lost: number };
  readonly messagesPerSecond: number;
  readonly rttMicros: { readonly p50: number; readonly p99: number };
  readonly server: {
    readonly cpuPercent: number;
    readonly rssBytes: number;
    /** null when no peer connected. */
    readonly bytesPerPeer: number | null;
  };
  readonly drops: Readonly<Record<string, number>>;
}

/** What the report is made of. */
export interface DemoMeasurements {
  /** The gateway at the begin and at the end of the steady phase. */
  readonly steadyBegin: GatewayStatus;
  readonly steadyEnd: GatewayStatus;
  /** The load at the same times. */
  readonly loadBegin: LoadStatus;
  readonly loadEnd: LoadStatus;
  /** The load once the last echoes have come. */
  readonly final: LoadStatus;
  readonly drops: Readonly<Record<string, number>>;
  readonly bytesPerPeer: number | undefined;
}

export function reportOf(wire: Wire, measured: DemoMeasurements): DemoReport {
  const { steadyBegin, steadyEnd, loadBegin, loadEnd, final } = measured;
  const gatewayMs = Math.max(1, steadyEnd.timeMs - steadyBegin.timeMs);
  const loadMs = Math.max(1, loadEnd.timeMs - loadBegin.timeMs);
  return {
    wire,
    peers: { requested: final.requested, connected: final.connected, disconnected: final.disconnected },
    connectSeconds: round(final.connectSeconds, 3),
    messages: { sent: final.sent, echoed: final.echoed, lost: final.sent - final.echoed },
    messagesPerSecond: round(((loadEnd.echoed - loadBegin.echoed) * 1000) / loadMs, 1),
    rttMicros: { p50: final.rttMicros.p50, p99: final.rttMicros.p99 },
    server: {
      cpuPercent: round(((steadyEnd.cpuMicros - steadyBegin.cpuMicros) / 1000 / gatewayMs) * 100, 1),
      rssBytes: steadyEnd.rssBytes,
      bytesPerPeer: measured.bytesPerPeer === undefined ? null : Math.round(measured.bytesPerPeer),
    },
    drops: measured.drops,
  };
}

/** The memory that each further peer takes: the slope between a few peers and all of them. */
export function bytesPerPeer(few: GatewayStatus, all: GatewayStatus): number | undefined {
  const more = all.peers - few.peers;
  return more > 0 ? (all.rssBytes - few.rssBytes) / more : undefined;
}

/** Makes sure before a long run that its report can be written. @throws CommandError. */
export function checkWritable(path: string): void {
  write(path, '', 'a');
}

/** @throws CommandError. */
export function writeReport(path: string, report: DemoReport): void {
  write(path, `${JSON.stringify(report, null, 2)}\n`, 'w');
}

function write(path: string, content: string, flag: 'a' | 'w'): void {
  try {
    writeFileSync(path, content, { flag });
  } catch (error) {
    throw new CommandError(`cannot write the report to ${path}: ${systemReason(error)}`);
  }
}

/** The end of a run, for people. */
export function reportLines(report: DemoReport, final: LoadStatus, paint: Paint): string[] {
  const { peers, messages, rttMicros, server } = report;
  const whole = peers.connected === peers.requested && peers.disconnected === 0;
  const lostShare = messages.lost / Math.max(1, messages.sent);
  const perPeer = server.bytesPerPeer === null ? '' : `, ${bytes(server.bytesPerPeer)} per peer`;
  const drops = Object.entries(newDrops(report.drops, {}));
  const rows: (readonly [string, string])[] = [
    [
      'Peers',
      `${paint(whole ? 'green' : 'red', `${count(peers.connected)} of ${count(peers.requested)}`)} connected in ${report.connectSeconds.toFixed(1)} s, ${count(peers.disconnected)} disconnected`,
    ],
    ...Object.entries(final.failures).map(([why, times]) => ['', `${count(times)} x ${why}`] as const),
    [
      'Messages',
      `${count(messages.sent)} sent, ${count(messages.echoed)} echoed, ${count(messages.lost)} lost (${percent(lostShare)}), ${count(report.messagesPerSecond)} a second`,
    ],
    ['Round trip', `p50 ${micros(rttMicros.p50)}, p99 ${micros(rttMicros.p99)}`],
    [
      'Gateway',
      `${server.cpuPercent.toFixed(1)} % of one core, ${bytes(server.rssBytes)} of memory${perPeer}`,
    ],
    ['Drops', dropsText(drops)],
  ];
  const lines = rows.map(([name, value]) => `${paint('bold', name.padEnd(11))} ${value}`);
  if (report.drops.kernelReceive) {
    lines.push('The socket buffer overflowed: "hawser doctor" says how to enlarge it.');
  }
  return lines;
}

/** `12 replayed, 3 length`, or `none`. */
export function dropsText(drops: readonly (readonly [string, number])[]): string {
  return drops.length === 0 ? 'none' : drops.map(([reason, times]) => `${count(times)} ${reason}`).join(', ');
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
