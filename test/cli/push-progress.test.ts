import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { PushProgress } from '../../src/cli/push-progress.js';
import { ansiEscape } from './support.js';

/** What a stream needs to be taken for standard error. */
function newStream(isTTY: boolean): { readonly stream: NodeJS.WriteStream; readonly taken: () => string } {
  const through = new PassThrough({ encoding: 'utf8' });
  const terminal = { isTTY, columns: 100, rows: 24, fd: 2 };
  const stream = Object.assign(through, terminal) as unknown as NodeJS.WriteStream;
  return { stream, taken: () => String(through.read() ?? '') };
}

function at(sent: number, retransmitted = 0): Parameters<PushProgress['syncing']>[0] {
  return { size: 1000, sent, acknowledged: 0, bytes: sent * 100, retransmitted };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('on a terminal a bar tells how far it is, how fast, and how long it takes yet', () => {
  const { stream, taken } = newStream(true);
  const progress = new PushProgress(stream, false);
  progress.syncing(at(100));
  taken();
  vi.advanceTimersByTime(1000);
  progress.syncing(at(400));
  expect(stripVTControlCharacters(taken()).trim()).toBe(
    `${'█'.repeat(12)}${'░'.repeat(18)} 400 of 1,000 items, 39.1 KiB, 300/s, 0:02 left`,
  );
  progress.syncing(at(401));
  expect(taken()).toBe('');
  progress.syncing(at(1000, 5));
  expect(stripVTControlCharacters(taken())).toContain(
    '1,000 of 1,000 items, 97.7 KiB, 5 again: the manager applies them',
  );
  progress.end();
  expect(taken()).toContain(`${ansiEscape}[?25h`);
});

test('elsewhere there is a line each five seconds, none for who is done before, and what keeps it waiting', () => {
  const { stream, taken } = newStream(false);
  const progress = new PushProgress(stream, false);
  progress.reading(10);
  progress.connecting();
  progress.syncing(at(100));
  progress.syncing(at(1000));
  expect(taken()).toBe('');
  progress.waiting('the manager is busy', 1500);
  expect(taken()).toBe('the manager is busy; trying again in 1.5 s\n');
  progress.note(`x${ansiEscape}[31m\ny`);
  expect(taken()).toBe('x\\u{1b}[31m\\u{a}y\n');
  vi.advanceTimersByTime(5000);
  progress.syncing(at(100));
  progress.syncing(at(200));
  expect(taken()).toBe('10 % 100 of 1,000 items, 9.8 KiB\n');
  vi.advanceTimersByTime(5000);
  progress.syncing(at(600));
  expect(taken()).toBe('60 % 600 of 1,000 items, 58.6 KiB, 100/s, 0:04 left\n');
  progress.end();
  expect(taken()).toBe('');
});

test('who wants JSON is shown nothing', () => {
  const { stream, taken } = newStream(true);
  const progress = new PushProgress(stream, true);
  progress.note('x');
  progress.connecting();
  progress.syncing(at(1000));
  progress.waiting('x', 1);
  progress.end();
  expect(taken()).toBe('');
});
