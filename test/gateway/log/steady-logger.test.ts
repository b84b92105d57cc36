// A logger that throws ends neither the gateway nor the process.

import { afterEach, expect, test, vi } from 'vitest';
import { type Logger, logLevels } from '../../../src/gateway/log/logger.js';
import { steadyLogger } from '../../../src/gateway/log/steady-logger.js';
import { openTest } from '../support.js';

afterEach(() => {
  vi.restoreAllMocks();
});

function failing(): Logger {
  const fail = (): never => {
    throw new Error('no room on the disk');
  };
  return { trace: fail, debug: fail, info: fail, warn: fail, error: fail, fatal: fail, child: fail };
}

test('what it throws is told once, as a warning of the process', () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const log = steadyLogger(failing());
  for (const level of logLevels) log[level]({}, 'a line');
  log.child({}).info({}, 'a line');
  expect(warn.mock.calls).toEqual([
    ['the logger of a gateway throws: Error: no room on the disk', 'HawserWarning'],
  ]);
});

class Kept implements Logger {
  readonly #lines: unknown[];
  readonly #fields: object;

  constructor(lines: unknown[], fields: object) {
    this.#lines = lines;
    this.#fields = fields;
  }

  trace(fields: object, message: string): void {
    this.#write('trace', fields, message);
  }
  debug(fields: object, message: string): void {
    this.#write('debug', fields, message);
  }
  info(fields: object, message: string): void {
    this.#write('info', fields, message);
  }
  warn(fields: object, message: string): void {
    this.#write('warn', fields, message);
  }
  error(fields: object, message: string): void {
    this.#write('error', fields, message);
  }
  fatal(fields: object, message: string): void {
    this.#write('fatal', fields, message);
  }
  child(fields: object): Logger {
    return new Kept(this.#lines, { ...this.#fields, ...fields });
  }

  #write(level: string, fields: object, message: string): void {
    this.#lines.push([level, { ...this.#fields, ...fields }, message]);
  }
}

test('what a good one writes goes through as it is, from children too', () => {
  const lines: unknown[] = [];
  const log = steadyLogger(new Kept(lines, {}));
  for (const level of logLevels) log[level]({ a: 1 }, level);
  log.child({ b: 2 }).info({ c: 3 }, 'of a child');
  expect(lines).toEqual([
    ...logLevels.map((level) => [level, { a: 1 }, level]),
    ['info', { b: 2, c: 3 }, 'of a child'],
  ]);
});

test('a gateway opens, reloads, drains and closes with it', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const gateway = await openTest({ admin: { address: '127.0.0.1:0' }, log: { logger: failing() } });
  await gateway.reload();
  await gateway.drain();
  expect(gateway.state).toBe('STOPPED');
  expect(warn).toHaveBeenCalledTimes(1);
});
