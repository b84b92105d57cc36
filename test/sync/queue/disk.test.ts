// Persistent queues and what is beneath them: who may open one, when the disk has what was acknowledged, and disks that fail. With processes
// of their own.

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openQueue } from '../../../src/sync/queue/lmdb-queue.js';
import { acknowledgedTooEarly, DiskShim } from '../disk-shim.js';
import { withFolder } from './queues.js';
import { QueueTeller } from './teller.js';

describe('the owner of a queue', () => {
  test('of many processes that open it at once one does, and the others say which', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'queue');
      const tellers = Array.from({ length: 5 }, () => new QueueTeller(path));
      const said = await Promise.all(tellers.map((teller) => teller.next()));
      const owners = tellers.filter((_, n) => said[n] === 'open');
      expect(owners.length).toBe(1);
      const refused = said.filter((line) => line !== 'open');
      expect(refused.map((line) => line.split(' ')[0])).toEqual(Array(4).fill('ERR_HAWSER_STORE_LOCKED'));
      for (const line of refused) expect(line).toContain(`process ${owners[0]?.pid} `);
      await expect(openQueue(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
      expect(await owners[0]?.tell('1')).toBe('1 ok');
      await owners[0]?.end();
      await (await openQueue(path)).close();
    }));

  test('a process that is killed is none any more, and leaves what it acknowledged', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'queue');
      const first = new QueueTeller(path);
      expect(await first.next()).toBe('open');
      expect(await first.tell('1')).toBe('1 ok');
      await first.kill();
      const second = new QueueTeller(path);
      expect(await second.next()).toBe('open');
      expect(await second.tell('drain')).toBe('drain 1');
      await second.end();
    }));
});

describe.skipIf(process.platform !== 'linux')('the disk of a queue', () => {
  const withTeller = async (
    run: (teller: QueueTeller, shim: DiskShim, open: () => QueueTeller) => Promise<void>,
    durability = 'durable',
  ): Promise<void> =>
    withFolder(async (folder) => {
      using shim = new DiskShim();
      const path = join(folder, 'queue');
      const { environment, marks } = shim;
      const open = (): QueueTeller => new QueueTeller(path, { durability, marks, environment });
      const teller = open();
      try {
        expect(await teller.next()).toBe('open');
        await run(teller, shim, open);
      } finally {
        await teller.kill();
      }
    });

  test('no difference is acknowledged before fdatasync has returned for it', () =>
    withTeller(async (teller, shim) => {
      expect(await teller.tell('0')).toBe('0 ok');
      for (let round = 0; round < 5; ++round) {
        const numbers = Array.from({ length: 20 }, (_, n) => `${1 + round * 20 + n}`);
        await teller.tellAll(numbers);
      }
      const events = shim.events();
      const acks = events.filter((event) => event.at === 'mark');
      const commits = events.filter((event) => event.at === 'end' && event.what === 'meta');
      expect(acks.length).toBe(101);
      expect(acknowledgedTooEarly(events)).toEqual([]);
      // And yet callers share commits.
      expect(commits.length).toBeLessThan(acks.length / 2);
    }));

  test('relaxed, it is acknowledged after the first of the two syncs, and the second is that of the next commit', () =>
    withTeller(async (teller, shim) => {
      for (const number of ['0', '1', '2']) expect(await teller.tell(number)).toBe(`${number} ok`);
      const events = shim.events();
      const place = (text: string): number =>
        events.findIndex((event) => event.at === 'mark' && event.text === text);
      for (const number of [0, 1, 2]) {
        const written = events.findIndex((event) => event.at === 'payload' && event.payload === number);
        const between = events.slice(written, place(`ack ${number}`));
        expect(between.filter((event) => event.at === 'end' && event.what === 'sync').length).toBe(1);
        expect(between.filter((event) => event.at === 'end' && event.what === 'meta').length).toBe(0);
      }
      expect(acknowledgedTooEarly(events)).toEqual([0, 1, 2]);
    }, 'relaxed'));

  test.each([
    ['has no room left', 'room', 'ENOSPC', 'ERR_HAWSER_DISK_FULL'],
    ['has no room for the pages', 'write', 'ENOSPC', 'ERR_HAWSER_DISK_FULL'],
    ['has no room for all of the pages', 'short', 'ENOSPC', 'ERR_HAWSER_STORE'],
    ['is beyond its quota', 'write', 'EDQUOT', 'ERR_HAWSER_DISK_FULL'],
    ['cannot be written', 'write', 'EIO', 'ERR_HAWSER_STORE'],
    ['cannot be synced', 'sync', 'EIO', 'ERR_HAWSER_STORE'],
    ['finds no room when it is synced', 'sync', 'ENOSPC', 'ERR_HAWSER_DISK_FULL'],
  ] as const)(
    'one that %s: a typed error, nothing lost, nothing half kept, and it goes on afterwards',
    (_, fault, errno, code) =>
      withTeller(async (teller, shim, open) => {
        expect(await teller.tell('1')).toBe('1 ok');
        shim.fail(fault, errno);
        expect(await teller.tellAll(['2', '3'])).toEqual([`2 ${code}`, `3 ${code}`]);
        expect(await teller.tell('seal')).toBe(`seal ${code}`);
        shim.heal();
        expect(await teller.tell('4')).toBe('4 ok');
        await teller.kill();
        const again = open();
        expect(await again.next()).toBe('open');
        expect(await again.tell('drain')).toBe('drain 1,4');
        await again.end();
      }),
  );

  test('one that cannot write which pages are current: all is refused until the queue is opened again, nothing is lost', () =>
    withTeller(async (teller, shim, open) => {
      expect(await teller.tell('1')).toBe('1 ok');
      shim.fail('meta', 'EIO');
      expect(await teller.tell('2')).toBe('2 ERR_HAWSER_STORE');
      shim.heal();
      expect(await teller.tellAll(['3', 'drain'])).toEqual(['3 ERR_HAWSER_STORE', 'drain ERR_HAWSER_STORE']);
      await teller.end();
      const again = open();
      expect(await again.next()).toBe('open');
      expect(await again.tell('4')).toBe('4 ok');
      expect(await again.tell('drain')).toBe('drain 1,4');
      await again.end();
    }));

  test.each([
    ['write', 0],
    ['write', 1],
    ['sync', 0],
    ['meta', 0],
  ] as const)(
    'one that fails while the queue is opened (%s, after %i): a typed error, and it opens afterwards',
    (fault, after) =>
      withTeller(async (teller, shim, open) => {
        expect(await teller.tell('1')).toBe('1 ok');
        await teller.end();
        shim.fail(fault, 'ENOSPC', after);
        const failing = open();
        const said = await failing.next();
        if (said !== 'open' || after === 0) expect(said).toMatch(/^ERR_HAWSER_(DISK_FULL|STORE) /);
        await failing.end();
        shim.heal();
        const again = open();
        expect(await again.next()).toBe('open');
        expect(await again.tell('drain')).toBe('drain 1');
        await again.end();
      }),
  );
});
