// The logger of a gateway that is given none writes what pino would, and nothing that should not be in a log.

import fc from 'fast-check';
import pino from 'pino';
import { expect, test } from 'vitest';
import { checkLogger } from '../../../src/gateway/log/check-logger.js';
import { type JsonLoggerOptions, jsonLogger } from '../../../src/gateway/log/json-logger.js';
import { type Logger, logLevels } from '../../../src/gateway/log/logger.js';
import { ansiEscape } from '../../cli/support.js';

function kept(options: JsonLoggerOptions = {}): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const log = jsonLogger({ level: 'trace', write: (line) => lines.push(line), now: () => 1234, ...options });
  return { log, lines };
}

/** What belongs to a line of pino alone. */
function parsed(line: string | undefined): Record<string, unknown> {
  const { hostname: _, ...fields } = JSON.parse(line ?? '');
  return fields;
}

test('a logger of pino writes the same fields', () => {
  const theirs: string[] = [];
  const destination = { write: (line: string) => void theirs.push(line) };
  const options = { level: 'trace', name: 'north', timestamp: () => ',"time":1234' };
  const given = checkLogger('log.logger', pino(options, destination));
  const { log, lines } = kept({ name: 'north' });
  // Fields of its own are left out of ours, but for the code.
  const cause = new TypeError('no such file');
  const error = Object.assign(new RangeError('cannot open', { cause }), { code: 'ENOENT' });
  for (const logger of [given, log]) {
    for (const level of logLevels) logger[level]({ count: 1, nested: { list: [1, 'two', null] } }, level);
    logger.child({ listener: 'udp' }).info({ text: 'ä "quoted"' }, 'child');
    logger.error({ err: error }, 'failed');
  }
  expect(lines.map(parsed)).toEqual(theirs.map(parsed));
  expect(lines.length).toBe(8);
});

test('what is below the level is not written, and the level can be changed, for children too', () => {
  const lines: string[] = [];
  const log = jsonLogger({ write: (line) => lines.push(line) });
  const child = log.child({});
  child.debug({}, 'not told');
  log.level = 'debug';
  child.debug({}, 'told');
  log.level = 'error';
  child.warn({}, 'not told');
  expect(lines.map((line) => parsed(line).msg)).toEqual(['told']);
  expect(log.level).toBe('error');
});

test('bytes are told by their number only, and what hangs on an error is not told', () => {
  const { log, lines } = kept();
  const secret = Buffer.from('secret secret secret secret sec');
  const error = Object.assign(new Error('failed'), { code: 'EACCES', headers: { authorization: 'secret' } });
  log.info({ secret, key: new Uint8Array(secret).buffer, list: [secret], err: error }, 'x');
  expect(lines[0]).not.toContain('secret secret');
  expect(lines[0]).not.toContain('authorization');
  expect(parsed(lines[0])).toMatchObject({
    secret: 'a Uint8Array of 31 bytes',
    err: { type: 'Error', message: 'failed', code: 'EACCES' },
  });
});

test('what a field has cannot take the place of what a line has', () => {
  const { log, lines } = kept({ fields: { pid: 0, app: 'x' } });
  log.child({ msg: 'forged' }).warn({ level: 10, time: 0, pid: 0, msg: 'forged' }, 'true');
  expect(parsed(lines[0])).toEqual({ level: 40, time: 1234, pid: process.pid, app: 'x', msg: 'true' });
});

test('what JSON has not is written so that it can be read, what never ends is cut', () => {
  const { log, lines } = kept();
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const deep = { a: { b: { c: { d: { e: { f: 1 } } } } } };
  log.info({ big: 2n ** 64n, none: Number.NaN, circle, deep, call: () => 1, at: new Date(0) }, 'x');
  expect(parsed(lines[0])).toMatchObject({
    big: '18446744073709551616',
    none: 'NaN',
    circle: { self: '[Circular]' },
    call: 'a function',
    at: '1970-01-01T00:00:00.000Z',
  });
  expect(lines[0]).not.toContain('"f"');
  log.info({ text: 'x'.repeat(1e6), list: new Array(1e5).fill(1) }, 'y'.repeat(1e6));
  expect(lines[1]?.length).toBeLessThan(10_000);
});

test('whatever is logged is one line that commands no terminal', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.anything({ withBigInt: true, withDate: true }),
      (text, value) => {
        const { log, lines } = kept();
        log.info({ [text]: value, text, value }, text);
        const [line = ''] = lines;
        expect(line.indexOf('\n')).toBe(line.length - 1);
        expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}](?!$)/u);
        expect(JSON.parse(line).text).toBe(text.length <= 4096 ? text : expect.any(String));
      },
    ),
    { numRuns: 50 },
  );
  const { log, lines } = kept();
  log.info({ agent: `${ansiEscape}[2J` }, 'x');
  expect(lines[0]).not.toContain(ansiEscape);
  expect(parsed(lines[0]).agent).toBe(`${ansiEscape}[2J`);
});

test.each([undefined, null, 'pino', {}, { info: () => undefined }, console])('%j is no logger', (value) => {
  expect(() => checkLogger('log.logger', value)).toThrow('log.logger must be');
});

test('a level that is none is named', () => {
  expect(() => jsonLogger({ level: 'inf' as 'info' })).toThrow("did you mean 'info'?");
});

test('fields that cannot be read cost a line nothing but its fields', () => {
  const lines: string[] = [];
  const log = jsonLogger({ write: (line) => lines.push(line), now: () => 1 });
  const getter = {
    get bad(): never {
      throw new Error('not now');
    },
  };
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  for (const fields of [getter, { within: getter }, { within: proxy }, proxy]) log.info(fields, 'a line');
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    lines.map(() => ({
      level: 30,
      time: 1,
      pid: process.pid,
      fields: 'they cannot be read',
      msg: 'a line',
    })),
  );
  expect(lines).toHaveLength(4);
});
