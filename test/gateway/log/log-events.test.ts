// Which events become lines of the log, and that nobody can fill it.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { diagnostics as gateway } from '../../../src/gateway/diagnostics.js';
import { LimitedLog } from '../../../src/gateway/log/limited-log.js';
import { logEvents } from '../../../src/gateway/log/log-events.js';
import { diagnostics as keys } from '../../../src/keys/agent/diagnostics.js';
import { diagnostics as sessions } from '../../../src/sessions/server/diagnostics.js';
import { diagnostics as sync } from '../../../src/sync/manager/diagnostics.js';
import { channels as transport } from '../../../src/transport/diagnostics.js';
import { disconnectCodes } from '../../../src/transport/results.js';
import type { DropReason } from '../../../src/transport/stats.js';
import { KeptLog } from '../admin/fake-gateway.js';

const address = '127.0.0.1:4433';
let nowMs = 0;
let log: KeptLog;
let events: Disposable;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = 0;
  log = new KeptLog();
  events = logEvents(log, { gateway: 'north', addresses: () => [address], nowMs: () => nowMs });
});
afterEach(() => {
  events[Symbol.dispose]();
  vi.useRealTimers();
});

const told = (): string[] => log.lines.map(({ level, message }) => `${level} ${message}`);
const peer = { clientId: 2n ** 63n, address: '192.0.2.1:5000' };

test('states, reloads and drains are told of this gateway alone', () => {
  for (const name of ['north', 'south']) {
    gateway.state.publish({ gateway: name, state: 'RUNNING' });
    gateway.reload.publish({
      gateway: name,
      report: { keyIds: [7], changed: ['keys'], needRestart: [] },
      error: null,
      durationMs: 1,
    });
    gateway.reload.publish({ gateway: name, report: null, error: 'keys must be ...', durationMs: 1 });
    gateway.drain.publish({ gateway: name, peersBefore: 9, peersLeft: 1, durationMs: 5 });
  }
  expect(told()).toEqual([
    'info running',
    'info reloaded',
    'error the configuration is wrong; nothing has changed',
    'info drained',
  ]);
  expect(log.lines[2]?.fields).toEqual({ reason: 'keys must be ...', durationMs: 1 });
});

test('that sessions are not served is a warning, but not while the gateway drains', () => {
  sessions.serving.publish({ gateway: address, serving: false });
  gateway.state.publish({ gateway: 'north', state: 'DRAINING' });
  sessions.serving.publish({ gateway: address, serving: false });
  expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info', 'info']);
});

test('peers are told at debug, those of other servers of the process are not', () => {
  transport.peerConnect.publish({ address, peer });
  const info = { result: 'timedOut', code: 0, reason: '', reconnectSpreadMs: 0 } as const;
  transport.peerDisconnect.publish({ address, peer, info });
  transport.peerConnect.publish({ address: '127.0.0.1:1', peer });
  expect(told()).toEqual(['debug peer connected', 'debug peer disconnected']);
  expect(log.lines[1]?.fields).toEqual({
    listener: address,
    clientId: '9223372036854775808',
    peer: '192.0.2.1:5000',
    result: 'timedOut',
    code: 0,
    reason: '',
  });
});

test('a peer that made no progress is a warning when this side disconnected it', () => {
  for (const result of ['closed', 'disconnected'] as const) {
    const info = { result, code: 12, reason: '', reconnectSpreadMs: 0 };
    transport.peerDisconnect.publish({ address, peer, info });
  }
  expect(told()).toEqual(['warn peer disconnected: it made no progress', 'debug peer disconnected']);
});

test('a peer that the gateway disconnects for being slow is a warning', () => {
  const info = { result: 'closed', reason: 'full', reconnectSpreadMs: 0 } as const;
  for (const code of [disconnectCodes.SLOW_CONSUMER, disconnectCodes.SEND_MEMORY_FULL, disconnectCodes.NONE])
    transport.peerDisconnect.publish({ address, peer, info: { ...info, code } });
  expect(told()).toEqual([
    'warn slow peer disconnected',
    'warn slow peer disconnected',
    'debug peer disconnected',
  ]);
});

test('drops are one line a second, the most frequent reason first', () => {
  for (let second = 0; second < 2; ++second) {
    for (let i = 0; i < 1000; ++i) {
      transport.drop.publish({ address, shard: i % 4, reason: 'length', count: 1 });
      transport.drop.publish({ address, shard: i % 4, reason: 'replayed', count: 2 });
    }
    transport.drop.publish({ address: '127.0.0.1:1', shard: 0, reason: 'length', count: 1 });
    expect(log.lines.length).toBe(second);
    vi.advanceTimersByTime(1000);
  }
  expect(told()).toEqual(['info dropped', 'info dropped']);
  expect(JSON.stringify(log.lines[0]?.fields)).toBe(
    JSON.stringify({ listener: address, drops: { replayed: 2000, length: 1000 } }),
  );
  vi.advanceTimersByTime(5000);
  expect(log.lines.length).toBe(2);
});

test('each reason to refuse a token has a line with its count, at most one in ten seconds', () => {
  const refused = (reason: DropReason, count: number): void =>
    transport.drop.publish({ address, shard: 0, reason, count });
  const lines = (): readonly string[] =>
    log.lines
      .filter(({ message }) => message.startsWith('clients are refused: '))
      .map(({ message }) => message);
  const reasons: DropReason[] = [
    'tokenExpired',
    'tokenFuture',
    'tokenLifetime',
    'protocol',
    'unknownKey',
    'tokenInvalid',
  ];
  for (const reason of [...reasons, 'wrongAddress', 'singleUseRefused', 'tokenPredates'] as const) {
    for (let i = 0; i < 100; ++i) refused(reason, 3);
  }
  expect(lines()).toHaveLength(9);
  expect(log.lines[0]).toMatchObject({
    level: 'warn',
    fields: { listener: address, reason: 'tokenExpired', count: 3 },
  });
  refused('length', 1);
  refused('replayed', 1);
  expect(lines()).toHaveLength(9);
  nowMs += 10_000;
  refused('tokenFuture', 5);
  expect(lines()).toHaveLength(10);
  expect(log.lines.findLast(({ level }) => level === 'warn')?.fields).toMatchObject({ count: 5, untold: 99 });
});

test('what was dropped last is told at the end', () => {
  transport.drop.publish({ address, shard: 0, reason: 'length', count: 3 });
  events[Symbol.dispose]();
  expect(log.lines[0]?.fields).toEqual({ listener: address, drops: { length: 3 } });
  transport.drop.publish({ address, shard: 0, reason: 'length', count: 3 });
  vi.advanceTimersByTime(2000);
  expect(log.lines.length).toBe(1);
});

test('rotations and syncs are told at info, what went wrong above it', () => {
  const rotation = {
    saeId: 'A',
    peerSaeId: 'B',
    sessionId: 's',
    role: 'master',
    epoch: 1,
    from: 'CONFIRMED',
    to: 'CLOSED',
    cause: 'x',
    newKeyId: 'k',
  } as unknown as Omit<Parameters<typeof keys.transition.publish>[0], 'outcome'>;
  keys.transition.publish({ ...rotation, outcome: null });
  keys.transition.publish({ ...rotation, outcome: 'completed' });
  keys.transition.publish({ ...rotation, outcome: 'aborted' });
  const end = {
    agent: 'a',
    module: 'm',
    mode: 'FULL',
    size: 1,
    applied: 1,
    rejected: 0,
    durationMs: 1,
    reason: 'x',
  } as unknown as Omit<Parameters<typeof sync.end.publish>[0], 'status'>;
  sync.end.publish({ ...end, status: 'Ok' });
  sync.end.publish({ ...end, status: 'ChecksumMismatch' });
  sync.end.publish({ ...end, status: 'Error' });
  sync.end.publish({ ...end, status: 'Ok', rejected: 1 });
  expect(log.lines.map(({ level }) => level)).toEqual([
    'debug',
    'info',
    'warn',
    'info',
    'info',
    'warn',
    'warn',
  ]);
});

test('of what others bring about there are 20 lines at once and one a second, and nothing of it hides the rest', () => {
  for (let i = 0; i < 10_000; ++i) {
    sessions.rejected.publish({ gateway: address, reason: 'Overloaded' as never, identity: `${i}` });
  }
  sessions.leader.publish({ gateway: address, leader: null, isThisOne: true });
  expect(log.lines.length).toBe(21);
  nowMs += 1000;
  sessions.rejected.publish({ gateway: address, reason: 'Overloaded' as never, identity: 'last' });
  expect(log.lines.at(-1)?.fields).toMatchObject({ identity: 'last', untold: 9980 });
});

test('kinds of lines are bounded, too', () => {
  const kept = new KeptLog();
  const limited = new LimitedLog(kept, { burst: 1, perSecond: 1 }, () => 0);
  for (let i = 0; i < 5000; ++i) limited.tell(`kind ${i}`, 'info', {}, 'x');
  expect(kept.lines.length).toBe(257);
});
