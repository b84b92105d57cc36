// What `hawser sae demo` found in the end, and whether it is what was promised.

import { writeFileSync } from 'node:fs';
import type { SaeProcessStatus } from './commands/sae-run.js';
import { CommandError, systemReason } from './errors.js';
import { count, type Paint } from './terminal.js';

/** The file of `hawser sae demo --json`. Ids only, no keys. */
export interface SaeDemoReport {
  readonly ok: boolean;
  readonly seconds: number;
  readonly rotations: { readonly done: number; readonly failed: number };
  /** The key in production at the master and at the slave; null for none. */
  readonly keys: { readonly master: string | null; readonly slave: string | null };
  /** How often the keys of the connection were updated, as each end knows it. */
  readonly keyEpochs: { readonly master: number | null; readonly slave: number | null };
  /** Keys that are not in use and were not deleted, of both ends. */
  readonly leftOver: number;
  readonly messages: {
    readonly sent: number;
    readonly echoed: number;
    readonly lost: number;
    readonly misordered: number;
    readonly longestGapMs: number;
  };
}

export function saeDemoReport(
  seconds: number,
  master: SaeProcessStatus,
  slave: SaeProcessStatus,
): SaeDemoReport {
  const [ours, theirs] = [master.sae.peers[0], slave.sae.peers[0]];
  const { sent, echoed, misordered, longestGapMs } = master.traffic;
  const report = {
    seconds: Number(seconds.toFixed(1)),
    rotations: { done: ours?.rotations ?? 0, failed: (ours?.failures ?? 0) + (theirs?.failures ?? 0) },
    keys: { master: ours?.productionKeyId ?? null, slave: theirs?.productionKeyId ?? null },
    keyEpochs: { master: master.keyEpoch, slave: slave.keyEpoch },
    leftOver: (ours?.keys.rolled ?? 0) + (theirs?.keys.rolled ?? 0),
    messages: {
      sent,
      echoed,
      lost: sent - echoed,
      misordered,
      longestGapMs: Number(longestGapMs.toFixed(1)),
    },
  };
  return { ok: faultsOf(report).length === 0, ...report };
}

/** What is not as promised, for people; empty when all is. */
function faultsOf(report: Omit<SaeDemoReport, 'ok'>): string[] {
  const { rotations, keys, keyEpochs, messages } = report;
  return [
    ...(rotations.done === 0 ? ['nothing was rotated'] : []),
    ...(messages.sent === 0 ? ['no message was sent'] : []),
    ...(messages.lost === 0 ? [] : [`${count(messages.lost)} messages were lost`]),
    ...(messages.misordered === 0 ? [] : [`${count(messages.misordered)} messages came out of order`]),
    ...(keys.master !== null && keys.master === keys.slave ? [] : ['the two ends use different keys']),
    ...(keyEpochs.master !== null && keyEpochs.master === keyEpochs.slave
      ? []
      : ['the two ends of the connection have different keys']),
    ...((keyEpochs.master ?? 0) >= rotations.done ? [] : ['keys of the connection were not changed']),
  ];
}

/** The end of a run, for people. */
export function saeDemoLines(report: SaeDemoReport, paint: Paint): string[] {
  const { rotations, keys, keyEpochs, leftOver, messages } = report;
  const order = messages.misordered === 0 ? '' : `, ${count(messages.misordered)} out of order`;
  const rows = [
    [
      'Rotations',
      `${count(rotations.done)} in ${report.seconds.toFixed(1)} s, ${count(rotations.failed)} failed`,
    ],
    [
      'Keys',
      `master ${keys.master ?? 'none'}, slave ${keys.slave ?? 'none'}; ${count(leftOver)} old ones left`,
    ],
    [
      'Connection',
      `key epoch ${keyEpochs.master ?? '-'} at the master, ${keyEpochs.slave ?? '-'} at the slave`,
    ],
    [
      'Messages',
      `${count(messages.sent)} sent, ${count(messages.echoed)} back, ${count(messages.lost)} lost${order}; the longest pause was ${messages.longestGapMs.toFixed(0)} ms`,
    ],
  ];
  const faults = faultsOf(report);
  const verdict = report.ok
    ? paint('green', 'ok: keys were rotated, no message was lost, both ends agree')
    : paint('red', `failed: ${faults.join('; ')}`);
  return [...rows.map(([name = '', value]) => `${paint('bold', name.padEnd(11))} ${value}`), verdict];
}

/** @param flag `a` only to find out whether it can be written. @throws CommandError. */
export function writeSaeReport(path: string, content: SaeDemoReport | undefined): void {
  try {
    if (content === undefined) writeFileSync(path, '', { flag: 'a' });
    else writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
  } catch (error) {
    throw new CommandError(`cannot write the report to ${path}: ${systemReason(error)}`);
  }
}
