// Whether every row of the benchmark runs. What it measures in so short a time says nothing and is not looked at.

import { describe, expect, it, vi } from 'vitest';
import { importRival } from '../../bench/drivers/contract.mjs';
import { JsonAsker, jsonAnswer } from '../../bench/lib/json-requests.mjs';
import { contendersOf, measureRow, rowsNamed } from '../../bench/lib/rows.mjs';
import { tableLines } from '../../bench/lib/table.mjs';
import { RivalUnavailable } from '../../bench/lib/unavailable.mjs';
import { main } from '../../bench/main.mjs';
import { prebuildFaults } from '../../bench/rows/gateway-package.mjs';
import { rows } from '../../bench/rows/index.mjs';
import { densest, firstAttemptFaults, histogram } from '../../bench/rows/reconnect.mjs';
import { faultsOf } from '../../bench/rows/reliable.mjs';
import {
  bundlingFault,
  interactionGroup,
  keysGroup,
  lossFault,
  pathsGroup,
  type Row,
} from '../../bench/rows/row.mjs';
import { type Figures, simulatedRows } from '../../bench/rows/simulated.mjs';
import { pingFaults } from '../../bench/rows/stall.mjs';
import { targets } from '../../scripts/prebuild/targets.mjs';

describe('the rows of the benchmark', () => {
  // Others that are exact need a native build for measuring.
  const inJavaScript = [interactionGroup, keysGroup];
  const quick = rows.filter(
    // test/bench/paths.test.ts runs one of the rows about paths: all of them take minutes.
    ({ exact, group }) =>
      group !== pathsGroup && (exact !== true || inJavaScript.some((each) => each === group)),
  );
  it.for(quick.map((row) => [row.id, row] as const))('%s runs', async ([, row], { skip }) => {
    if (row.lacks !== undefined) skip(`this machine has no ${row.lacks}`);
    const lines: string[] = [];
    const result = await measureRow(row, 1, 'smoke', (line) => lines.push(line));
    const contenders = contendersOf(row);
    // The rivals' packages are installed for measuring only.
    expect([...Object.keys(result.spread), ...Object.keys(result.unavailable)].sort()).toEqual(
      contenders.sort(),
    );
    if (row.id.startsWith('reliable') || row.id === 'gateway-idle') expect(result.missed).toEqual([]);
    expect(lines).toHaveLength(contenders.length);
    for (const figure of [result.ours, ...Object.values(result.rivals)]) expect(figure).not.toBeNaN();
  });

  it('have the ids that other versions are compared by', () => {
    const fixed = `msgs-64 msgs-1200 pps-10k cpu-64 rtt reliable-64 reliable-1200 handshakes memory idle-10k broadcast growth stall
      flood million`;
    const ids = rows.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(fixed.split(/\s+/)));
  });

  it('have ids of their own', () => {
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  });
});

describe('a rival that cannot run here', () => {
  const row = (measure: Row['measure'], rivals = ['absent', 'present']): Row => ({
    id: 'made-up',
    title: 'made up',
    unit: 'messages/s',
    better: 'higher',
    rivals,
    note: '',
    measure,
  });
  const absentOnly: Row['measure'] = async (contender) => {
    if (contender === 'absent') throw new RivalUnavailable('absent: no such package');
    return { value: contender === 'hawser' ? 4 : 2 };
  };

  it('is left out and named, and the row is measured without it', async () => {
    const lines: string[] = [];
    const result = await measureRow(row(absentOnly), 3, 'smoke', (line) => lines.push(line));
    expect(result).toMatchObject({ ours: 4, rivals: { present: 2 }, ratio: 2, runs: 3 });
    expect(result.unavailable).toEqual({ absent: 'absent: no such package' });
    expect(lines.filter((line) => line.includes('absent'))).toHaveLength(1);
    expect(tableLines([result]).at(-1)).toBe('  made-up, absent cannot run here: absent: no such package');
  });

  it('leaves a row without a ratio when there is no other', async () => {
    const result = await measureRow(row(absentOnly, ['absent']), 1, 'smoke', () => undefined);
    expect(result.ratio).toBeNull();
  });

  it('is one whose package cannot be loaded', async () => {
    await expect(importRival('hawser-no-such-rival')).rejects.toThrow(RivalUnavailable);
    await expect(importRival('hawser-no-such-rival')).rejects.toThrow(/^hawser-no-such-rival: /);
  });

  it('is told from one that fails, and from ours', async () => {
    const failing: Row['measure'] = async (contender) => {
      if (contender === 'present') throw new Error('it broke');
      return { value: 1 };
    };
    await expect(measureRow(row(failing), 1, 'smoke', () => undefined)).rejects.toThrow('it broke');
    const without: Row['measure'] = () => Promise.reject(new RivalUnavailable('the addon is not there'));
    await expect(measureRow(row(without), 1, 'smoke', () => undefined)).rejects.toThrow('not there');
    const empty: Row['measure'] = async (contender) => ({ value: contender === 'present' ? Number.NaN : 1 });
    await expect(measureRow(row(empty), 1, 'smoke', () => undefined)).rejects.toThrow(
      'present gave no figure',
    );
  });
});

describe('a condition of a row', () => {
  it('allows 0.1 % to be lost, and not that nothing was sent', () => {
    expect(lossFault(0.001, 'of it was lost')).toEqual([]);
    expect(lossFault(0.002, 'of it was lost')).toEqual(['0.20 % of it was lost']);
    expect(lossFault(Number.NaN, 'of it was lost')).toHaveLength(1);
  });

  it('allows one packet for a message, more or less 1 %', () => {
    for (const packets of [0.991, 1, 1.009]) expect(bundlingFault(packets)).toEqual([]);
    for (const packets of [0.98, 1.02, Number.NaN]) expect(bundlingFault(packets)).toHaveLength(1);
  });

  it('demands of a stalled gateway that the PINGs of its clients are sent and answered in time', () => {
    const faults = (asked: number, answered: number, greatestMs: number): string[] =>
      pingFaults({ asked, answered, greatestMs }, 100, 6000);
    expect(faults(480, 380, 1000)).toEqual([]);
    expect(faults(479, 479, 0)).toEqual(['479 PINGs instead of 600']);
    expect(faults(600, 499, 0)).toEqual(['101 PINGs without an answer']);
    expect(faults(600, 600, 1001)).toEqual(['a PONG after 1001 ms']);
  });
});

describe('the rows about channels', () => {
  const figures: Figures = {
    bbr: {
      goodputShareLoss0: 0.9,
      goodputShareLoss1: 0.8,
      goodputMbitLoss5: 19.9,
      largerShareOfTwo: 0.6,
      addedDelayMsP99: 5.1,
    },
    cubic: {
      goodputShareLoss0: 0.95,
      goodputShareLoss1: 0.02,
      goodputMbitLoss5: 1,
      largerShareOfTwo: 0.61,
      addedDelayMsP99: 40,
    },
  };
  const measure = async (
    id: string,
    of: Figures = figures,
  ): Promise<Awaited<ReturnType<typeof measureRow>>> => {
    const row = simulatedRows(async () => of).find((each) => each.id === id);
    if (row === undefined) throw new Error(`there is no row ${id}`);
    return measureRow(row, 7, 'full', () => undefined);
  };

  it('are a group', () => {
    const ids = rowsNamed('channels').map(({ id }) => id);
    expect(ids).toEqual(
      expect.arrayContaining(['reliable-64', 'reliable-1200', 'broadcast', 'memory-channels']),
    );
    for (const { id } of simulatedRows(async () => figures)) expect(ids).toContain(id);
    expect(rowsNamed('rtt').map(({ id }) => id)).toEqual(['rtt']);
    expect(rowsNamed('nothing')).toEqual([]);
  });

  it('take simulated figures once, and hold them against their targets', async () => {
    expect(await measure('goodput-bbr-0')).toMatchObject({ ours: 90, runs: 1, target: { reached: true } });
    expect(await measure('goodput-bbr-1')).toMatchObject({ ours: 80, target: { reached: true } });
    expect(await measure('goodput-bbr-5')).toMatchObject({ ours: 19.9, target: { reached: false } });
    expect(await measure('goodput-cubic-0')).toMatchObject({ ours: 95, target: { reached: true } });
    expect(await measure('share-bbr')).toMatchObject({ ours: 60, target: { reached: true } });
    expect(await measure('share-cubic')).toMatchObject({ ours: 61, target: { reached: false } });
    expect(await measure('latency-bbr')).toMatchObject({ ours: 5.1, target: { reached: false } });
    for (const id of ['goodput-cubic-1', 'goodput-cubic-5', 'latency-cubic'])
      expect((await measure(id)).target).toBeUndefined();
  });

  it('fail when the simulation gives no figure', async () => {
    const none = { ...figures, bbr: { ...figures.bbr, goodputShareLoss0: Number.NaN } };
    await expect(measure('goodput-bbr-0', none)).rejects.toThrow('no such figure');
    expect((await measure('goodput-bbr-1', none)).ours).toBe(80);
  });

  it('say how a stream was not reliable and ordered', () => {
    expect(faultsOf({ sent: 5, received: 5, misplaced: 0 })).toEqual([]);
    expect(faultsOf({ sent: 5, received: 4, misplaced: 1 })).toHaveLength(2);
    expect(faultsOf({ sent: 5, received: 6, misplaced: 0 })).toEqual(['6 of 5 messages arrived']);
  });
});

describe('the rows about interactions', () => {
  it('are a group', () => {
    expect(rowsNamed('interaction').map(({ id }) => id)).toEqual([
      'interaction-one',
      'interaction-1000',
      'interaction-local',
      'interaction-fanout',
      'interaction-fanout-window',
      'interaction-idle',
      'interaction-reconnect',
      'interaction-reconnect-spread',
    ]);
  });

  it('count in classes that leave none out', () => {
    expect([...histogram([1000, 1049.9, 1050, 1200], 50)]).toEqual([
      [1000, 2],
      [1050, 1],
      [1100, 0],
      [1150, 0],
      [1200, 1],
    ]);
  });

  it('look for the busiest second wherever it begins', () => {
    // Two in the second from 0 and two in that from 1,000, but three from 900 on.
    expect(densest([0, 900, 1800, 1899, 5000], 1000)).toBe(0.6);
    expect(densest([0, 1000], 1000)).toBe(0.5);
  });

  it('demand that first attempts keep to their delay', () => {
    const faults = (firstAttemptMs: number[]): string[] =>
      firstAttemptFaults({ firstAttemptMs, backMs: [], attempts: 0 }, 1250);
    expect(faults([1000, 1100, 1250])).toEqual([]);
    expect(faults([999.9, 1100, 1252])).toEqual([
      'a first attempt after 999.9 ms',
      'a first attempt after 1252.0 ms',
    ]);
    expect(faults([1000, Number.NaN])).not.toEqual([]);
  });
});

describe('the rows about keys', () => {
  it('are a group', () => {
    expect(rowsNamed('keys').map(({ id }) => id)).toEqual([
      'keys-rotations',
      'keys-pairs',
      'keys-load',
      'keys-instant',
    ]);
  });
});

describe('JSON requests of the rivals', () => {
  it('find the promise of their response, in whatever order it comes', async () => {
    const sent: string[] = [];
    const asker = new JsonAsker((request) => sent.push(request));
    const answers = [asker.ask(), asker.ask()];
    for (const request of sent.reverse()) asker.receive(jsonAnswer(request));
    expect(await Promise.all(answers)).toEqual([1.5, 1.5]);
  });

  it('are refused when nothing is there', async () => {
    expect(jsonAnswer('{"id":1,"method":"read","params":{"endpoint":9,"feature":2,"attributes":[1]}}')).toBe(
      '{"id":1,"error":"no such feature"}',
    );
    const asker = new JsonAsker((request) => asker.receive(jsonAnswer(request.replace('[1]', '[7]'))));
    await expect(asker.ask()).rejects.toThrow('no such attribute');
  });
});

describe('the command line of the benchmark', () => {
  it.each([
    ['an unknown row', ['--only', 'msgs-64,nothing']],
    ['an unknown option', ['--fast']],
    ['no number of runs', ['--runs', '0']],
  ])('refuses %s with exit code 2', async (_, args) => {
    const said = vi.spyOn(console, 'error').mockReturnValue();
    expect(await main(args)).toBe(2);
    expect(said.mock.calls.join()).toContain('Usage: npm run bench');
  });
});

describe('the size of the package', () => {
  const packed = (names: readonly string[]): Parameters<typeof prebuildFaults>[0] => ({
    file: 'hawser.tgz',
    bytes: 1,
    unpackedBytes: 1,
    files: names.map((path) => ({ path, size: 1 })),
  });
  const all = targets.map(({ file }) => `prebuilds/${file}`);

  it('counts with the prebuilds of all targets', () => {
    expect(prebuildFaults(packed(all))).toEqual([]);
  });

  it('does not count without one of them, which is named', () => {
    const without = packed(all.filter((path) => !path.includes('win32')));
    expect(prebuildFaults(without)).toEqual(['6 of 7 prebuilds: win32-x64 missing']);
  });
});
