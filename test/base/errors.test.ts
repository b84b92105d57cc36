import { expect, test } from 'vitest';
import { errorTable, HawserError } from '../../src/base/errors.js';

test('an error is an Error with its code, name and cause', () => {
  const cause = new Error('underneath');
  const error = new HawserError('ERR_HAWSER_CLOSED', 'the server is closed', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: 'HawserError',
    code: 'ERR_HAWSER_CLOSED',
    message: 'the server is closed',
    cause,
  });
  expect(String(error)).toBe('HawserError: the server is closed');
});

test('without a cause there is none', () => {
  expect('cause' in new HawserError('ERR_HAWSER_CLOSED', 'closed')).toBe(false);
});

test('every code is well formed and explained in one line', () => {
  for (const [code, meaning] of Object.entries(errorTable)) {
    expect(code).toMatch(/^ERR_HAWSER_[A-Z]+(_[A-Z]+)*$/);
    expect(meaning).toMatch(/^[A-Z].{10,}\.$/);
  }
});
