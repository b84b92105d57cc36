import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  guard,
  type ListenerErrorTarget,
  reportListenerError,
  unhandledListenerErrors,
} from '../../src/base/isolate.js';

let warnings: { message: string; code: unknown; detail: unknown }[];
let target: ListenerErrorTarget & EventEmitter;
let beginMs = 0;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  // Beyond the pause after warnings of earlier tests: each time the fake clock begins at the real one.
  beginMs += 1_000_000;
  vi.advanceTimersByTime(beginMs);
  warnings = [];
  vi.spyOn(process, 'emitWarning').mockImplementation((message, options) => {
    const { code, detail } = Object(options);
    warnings.push({ message: String(message), code, detail });
  });
  target = new EventEmitter();
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const fail = (text: string) => () => {
  throw new Error(text);
};

test('an exception goes to listenerError, and is then neither counted nor warned of', () => {
  const before = unhandledListenerErrors();
  const heard: unknown[] = [];
  target.on('listenerError', (...args) => heard.push(args));
  guard(target, 'message', fail('broken'));
  expect(heard).toEqual([[new Error('broken'), 'message']]);
  expect(unhandledListenerErrors()).toBe(before);
  expect(warnings).toEqual([]);
});

test('an exception that nobody takes is counted and warned of, with its source and stack', () => {
  const before = unhandledListenerErrors();
  guard(target, 'message', fail('broken'));
  expect(unhandledListenerErrors()).toBe(before + 1);
  expect(warnings).toEqual([
    {
      message: `"message" threw: broken. Listen to 'listenerError' to handle such errors.`,
      code: 'HAWSER_LISTENER_ERROR',
      detail: expect.stringContaining('isolate.test.ts'),
    },
  ]);
});

test('an exception of a listener of listenerError is counted and does not go to that listener again', () => {
  const before = unhandledListenerErrors();
  target.on('listenerError', fail('second'));
  guard(target, 'message', fail('first'));
  reportListenerError(target, new Error('later'), 'listenerError');
  expect(unhandledListenerErrors()).toBe(before + 2);
  expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('second')]);
});

test('there is at most one warning a second, which says how many were left out', () => {
  for (let count = 0; count < 1000; ++count) guard(target, 'message', fail('broken'));
  expect(warnings).toHaveLength(1);
  vi.advanceTimersByTime(999);
  guard(target, 'message', fail('broken'));
  expect(warnings).toHaveLength(1);
  vi.advanceTimersByTime(1);
  guard(target, 'message', fail('again'));
  expect(warnings).toHaveLength(2);
  expect(warnings[1]?.message).toContain('again (and 1000 more since the last warning)');
});

test('the rejection of a promise that a function returned is reported as what it throws', async () => {
  const heard: unknown[] = [];
  target.on('listenerError', (...args) => heard.push(args));
  guard(target, 'message', () => Promise.reject(new Error('broken')));
  await Promise.resolve();
  await Promise.resolve();
  expect(heard).toEqual([[new Error('broken'), 'message']]);
});

test('a warning shows control characters of an error as text', () => {
  guard(target, 'message', fail('\u001b[2J'));
  expect(warnings[0]?.message).toContain('\\u{1b}[2J');
  expect(String(warnings[0]?.detail)).not.toContain('\u001b');
});

test('anything that is thrown is reported, not only errors', () => {
  guard(target, 'message', () => {
    throw undefined;
  });
  expect(warnings[0]?.message).toContain('"message" threw: undefined');
});
