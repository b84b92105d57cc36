import { expect, test } from 'vitest';
import { SessionLines } from '../../src/cli/session-lines.js';
import type { SessionEnded } from '../../src/sync/manager/events.js';

function session(agent: string, more: Partial<SessionEnded> = {}): SessionEnded {
  return {
    agent,
    module: 'm',
    mode: 'DELTA',
    size: 0,
    applied: 0,
    rejected: 0,
    durationMs: 1,
    status: 'Ok',
    reason: 'None',
    ...more,
  };
}

function lines() {
  const told: string[] = [];
  const time = { nowMs: 0 };
  const shown = new SessionLines(
    {
      session: ({ agent, status }) => told.push(`${agent} ${status}`),
      untold: (agent, sessions) => told.push(`${agent} and ${sessions} more`),
    },
    () => time.nowMs,
  );
  return { shown, told, time };
}

test('of sessions that failed or brought nothing, 20 at once and one a second are told of each agent, and how many more there were', () => {
  const { shown, told, time } = lines();
  for (let n = 0; n < 1000; ++n) {
    shown.ended(session('1'));
    shown.ended(session('2', { size: 5, status: 'Error' }));
  }
  expect(told).toHaveLength(40);
  time.nowMs = 3000;
  for (let n = 0; n < 10; ++n) shown.ended(session('1', { mode: 'CHECK' }));
  expect(told).toHaveLength(43);
  shown.settle();
  expect(told.slice(43)).toEqual(['1 and 987 more', '2 and 980 more']);
  shown.end();
  expect(told).toHaveLength(45);
});

test('every session that brought something is told, whatever else the agent does', () => {
  const { shown, told } = lines();
  for (let n = 0; n < 1000; ++n) shown.ended(session('1', { size: 1, applied: 1 }));
  expect(told).toHaveLength(1000);
  shown.end();
  expect(told).toHaveLength(1000);
});

test('more than 10,000 agents at a time share what is told', () => {
  const { shown, told, time } = lines();
  for (let n = 0; n < 10_100; ++n) shown.ended(session(`${n}`));
  expect(told).toHaveLength(10_020);
  shown.settle();
  expect(told.at(-1)).toBe('(others) and 80 more');
  // Those that have been quiet have buckets of their own again.
  time.nowMs = 60_000;
  shown.settle();
  const before = told.length;
  for (let n = 10_000; n < 10_100; ++n) shown.ended(session(`${n}`));
  expect(told.length - before).toBe(100);
  shown.end();
});
