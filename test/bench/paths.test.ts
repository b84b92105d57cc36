import { describe, expect, it } from 'vitest';
import { readOptions } from '../../bench/lib/options.mjs';
import { missingForPaths, missingTcpCongestion, settingWords, withPath } from '../../bench/lib/path.mjs';
import { rowsNamed } from '../../bench/lib/rows.mjs';
import { hello, messageBytes, TransferReceiver, TransferSender } from '../../bench/lib/transfer.mjs';
import { flowCounts, rows as shareRows, tcpShares } from '../../bench/rows/path-shares.mjs';
import { faultsOf, messagePaths, rows, transferPaths } from '../../bench/rows/paths.mjs';
import type { Sample } from '../../bench/rows/row.mjs';

describe('the rows about paths', () => {
  it('are a group', () => {
    const names = 'delay loss late jitter mixed mobile fast-late fast slow shallow'.split(' ');
    const transfers = names.flatMap((name) => [`path-${name}-up`, `path-${name}-down`]);
    expect(rowsNamed('paths').map(({ id }) => id)).toEqual([
      ...transfers,
      'path-messages-2',
      'path-messages-10',
      'path-messages-jitter',
      'path-share-cubic-1',
      'path-share-cubic-5',
      'path-share-bbr-1',
      'path-share-bbr-5',
      'path-share-own-2',
      'path-share-own-10',
      'path-share-own-50',
    ]);
  });

  it('are measured only when they are asked for', () => {
    const ids = (args: string[]): string[] => {
      const options = readOptions(args);
      return options.work === 'run' ? options.rows.map(({ id }) => id) : [];
    };
    expect(ids(['--only', 'paths'])).toContain('path-fast-up');
    expect(ids([])).toContain('rtt');
    expect(ids([])).not.toContain('path-fast-up');
  });

  it('say what every contender does', () => {
    for (const { rivals, variants = [], does = {} } of rows)
      expect(Object.keys(does).sort()).toEqual(['hawser', ...variants, ...rivals].sort());
  });

  it('have links whose rates are shares, and transfers of whole messages', () => {
    for (const { link } of [...transferPaths, ...messagePaths]) {
      for (const name of ['lossRate', 'duplicateRate', 'reorderRate'] as const)
        expect(link[name] ?? 0).toBeLessThan(1);
      // Otherwise the difference of the two is below 0.
      expect(link.mostHoldBackMs ?? 0).toBeGreaterThanOrEqual(link.leastHoldBackMs ?? 0);
    }
    for (const { mebibytes } of transferPaths)
      expect(((mebibytes * 1024 * 1024) / 64) % messageBytes).toBe(0);
  });

  it('demand a share next to TCP, no more than a part of it, and equal shares of own flows', () => {
    for (const { leastPercent } of tcpShares) expect(leastPercent).toBeLessThan(50);
    expect(shareRows.map(({ target }) => target?.map(({ is }) => is).join())).toEqual([
      ...tcpShares.map(() => 'atLeast,atMost'),
      ...flowCounts.map(() => 'atLeast'),
    ]);
  });

  it('name the congestion control that the kernel lacks', ({ skip }) => {
    if (process.platform !== 'linux') skip('network namespaces are a part of Linux');
    expect(missingTcpCongestion('cubic')).toBeUndefined();
    expect(missingTcpCongestion('nothing')).toBe('TCP congestion control nothing: modprobe tcp_nothing');
  });

  it('do not count a run in which the link itself lost packets, or stood still', () => {
    const figures = {
      packets: 9,
      bytes: 9,
      delivered: 9,
      lost: 9,
      tooLong: 9,
      queueFull: 9,
      cutOff: 9,
      duplicated: 9,
      heldBack: 9,
      overrun: 0,
      deviceDropped: 0,
      mostLateMs: 9,
    };
    const link = { cpuSeconds: 1, toFar: figures, toNear: figures };
    expect(faultsOf(link, 0)).toEqual([]);
    expect(faultsOf({ ...link, toFar: { ...figures, overrun: 1 } }, 0)).toHaveLength(1);
    expect(faultsOf({ ...link, toNear: { ...figures, deviceDropped: 1 } }, 2)).toHaveLength(2);
    expect(faultsOf({ ...link, toNear: { ...figures, mostLateMs: 40 } }, 0)).toEqual([
      'the link delivered a packet 40 ms too late',
    ]);
  });
});

describe('the settings of a path', () => {
  it('are given to the program by their names', () => {
    expect(settingWords({ delayMs: 95, jitterReorders: true, lossRate: 0.02, seed: 1 })).toEqual([
      'delayMs=95',
      'jitterReorders=true',
      'lossRate=0.02',
      'seed=1',
    ]);
  });
});

describe('a transfer', () => {
  it('goes on until all is sent, and is over when all has come', async () => {
    const receiver = new TransferReceiver();
    let room = 2;
    const sender = new TransferSender((message) => {
      receiver.receive(message);
      return --room > 0;
    });
    const received = receiver.bytes(3 * messageBytes, 60_000);
    const { beganMs } = sender.start(3 * messageBytes);
    sender.fill();
    const { bytes, misplaced, endedMs } = await received;
    expect({ bytes, misplaced }).toEqual({ bytes: 3 * messageBytes, misplaced: 0 });
    expect(endedMs).toBeGreaterThanOrEqual(beganMs);
  });

  it('that stalls is over when its time is up, with what has come', async () => {
    const receiver = new TransferReceiver();
    const received = receiver.bytes(2 * messageBytes, 1);
    receiver.receive(new Uint8Array(messageBytes));
    expect(await received).toMatchObject({ bytes: messageBytes });
  });

  it('does not count the message that only shows that somebody is there', async () => {
    const receiver = new TransferReceiver();
    receiver.receive(hello);
    await receiver.heard;
    expect(await receiver.bytes(1, 0)).toMatchObject({ bytes: 0 });
  });

  it('at a rate measures the latency of each message', async () => {
    const receiver = new TransferReceiver();
    const sender = new TransferSender((message) => {
      receiver.receive(message.slice());
      return true;
    });
    const received = receiver.latencies(5, 60_000);
    sender.pace(5, 200, 1000);
    const { latenciesMs, misplaced } = await received;
    expect(latenciesMs).toHaveLength(5);
    expect(misplaced).toBe(0);
    for (const latency of latenciesMs) expect(latency).toBeGreaterThanOrEqual(0);
  });
});

describe('the link', () => {
  const missing = missingForPaths();

  it('carries a transfer of hawser and of TCP', async ({ skip }) => {
    if (missing !== undefined) skip(`this machine has no ${missing}`);
    const row = rows.find(({ id }) => id === 'path-fast-late-up');
    for (const contender of ['hawser', 'tcp-cubic']) {
      const sample = await row?.measure(contender, 'smoke');
      expect(sample?.details?.bytes).toBe(sample?.details?.bytesWanted);
      // A loaded machine may let the link stand still.
      expect(sample?.missed?.filter((fault) => !fault.includes('too late'))).toEqual([]);
    }
  });

  it('is shared by hawser and TCP, and by several flows of hawser', async ({ skip }) => {
    if (missing !== undefined) skip(`this machine has no ${missing}`);
    const measure = async (id: string): Promise<Sample | undefined> =>
      shareRows.find((row) => row.id === id)?.measure('hawser', 'smoke');
    const { value, details } = (await measure('path-share-cubic-1')) ?? {};
    const { ownBytes = 0, tcpBytes = 0 } = details ?? {};
    expect(ownBytes + tcpBytes).toBeGreaterThan(0);
    expect(value).toBeCloseTo((100 * ownBytes) / (ownBytes + tcpBytes));
    const own = await measure('path-share-own-2');
    expect(own?.details?.flows).toBe(2);
    expect(own?.value).toBeGreaterThanOrEqual(0.5);
  });

  it('answers commands, and refuses settings that it does not know', async ({ skip }) => {
    if (missing !== undefined) skip(`this machine has no ${missing}`);
    await withPath({ delayMs: 1 }, async (path) => {
      expect([path.near.address, path.far.address]).toEqual(['10.77.0.1', '10.77.0.2']);
      for (const command of ['down', 'up', 'move'] as const) await path.command(command);
      await path.set({ delayMs: 2, jitterReorders: true });
      await expect(path.set({ lossRate: 2 })).rejects.toThrow('lossRate=2');
      expect(await path.figures()).toMatchObject({ toFar: { overrun: 0 }, toNear: { overrun: 0 } });
    });
    await expect(withPath({ lossRate: 2 }, async () => undefined)).rejects.toThrow('lossRate=2');
  });
});
