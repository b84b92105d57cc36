// `hawser capture` with a gateway that runs: the file, its limits, and how it ends.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CaptureBlocks } from '../../src/cli/capture-blocks.js';
import { openTest } from '../gateway/support.js';
import { hawserHere } from './in-process.js';
import { type Outcome, RunningCommand, TestGateway, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const socket = join(folder, 'control.sock');
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await TestGateway.start(`--control-socket=${socket}`, '--capture-plaintext');
});
afterAll(() => gateway[Symbol.asyncDispose]());

/** Begins a capture and waits until it sees what comes. */
async function begin(...args: string[]): Promise<RunningCommand> {
  const command = new RunningCommand(['capture', socket, ...args]);
  await command.complains(/^capturing/m);
  return command;
}

/** Some datagrams: those of three handshakes, at least. */
async function traffic(): Promise<void> {
  expect((await gateway.run('load', '--peers', '3', '--seconds', '0.2')).code).toBe(0);
}

/** The packets of a file of whole blocks. */
function packetsIn(file: string): number {
  const content = readFileSync(file);
  const blocks = [...new CaptureBlocks().push(content)];
  expect(blocks.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(content.length);
  return blocks.filter(({ isPacket }) => isPacket).length;
}

const told = ({ stderr }: Outcome): number =>
  Number(/([\d,]+) datagrams and packets/.exec(stderr)?.[1]?.replaceAll(',', ''));

test('Ctrl-C ends it well: a whole file that only its owner can read, with as many packets as it says', async () => {
  const file = join(folder, 'whole.pcapng');
  const command = await begin('-w', file);
  await traffic();
  const outcome = await command.interrupt();
  expect(outcome).toMatchObject({ code: 0, stdout: '' });
  expect(outcome.stderr).not.toMatch(/warning/);
  expect(packetsIn(file)).toBe(told(outcome));
  expect(told(outcome)).toBeGreaterThan(8);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('ends by itself after a number of packets, and warns of plaintext', async () => {
  const file = join(folder, 'five.pcapng');
  const command = await begin('--write', file, '--packets', '5', '--plaintext', '--snap', '100');
  await traffic();
  const outcome = await command.outcome;
  expect(outcome.code).toBe(0);
  expect(outcome.stderr).toMatch(/^warning: with --plaintext everything/m);
  expect(packetsIn(file)).toBe(5);
});

test('a gateway whose configuration does not allow plaintext refuses it, and no file is made', async () => {
  const control = join(folder, 'closed.sock');
  await using _ = await openTest({ control });
  const file = join(folder, 'refused.pcapng');
  const outcome = await hawserHere('capture', control, '-w', file, '--plaintext');
  expect(outcome).toMatchObject({ code: 1, stdout: '' });
  expect(outcome.stderr).toContain('its configuration must have capture: { plaintext: true }');
  expect(existsSync(file)).toBe(false);
});

test('ends before the file is larger than it may be', async () => {
  const file = join(folder, 'small.pcapng');
  const command = await begin('-w', file, '--max-bytes', '3000');
  await traffic();
  expect((await command.outcome).code).toBe(0);
  expect(packetsIn(file)).toBeGreaterThan(0);
  expect(statSync(file).size).toBeLessThanOrEqual(3000);
});

test('goes to standard output, after some time without a packet too', async () => {
  const command = await begin('-w', '-', '--seconds', '500ms', '--address', '192.0.2.1');
  const outcome = await command.outcome;
  // The block type of a section header reads the same in both byte orders.
  expect(outcome).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\n\r\r\n/) });
  expect(told(outcome)).toBe(0);
});

test('does not write over a file unless it is told to', async () => {
  const file = join(folder, 'kept.pcapng');
  writeFileSync(file, 'something', { mode: 0o644 });
  const refused = await hawserHere('capture', socket, '-w', file);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/kept\.pcapng exists already/) });
  expect(readFileSync(file, 'utf8')).toBe('something');
  const forced = await hawserHere('capture', socket, '-w', file, '--force', '--seconds', '300ms');
  expect(forced.code).toBe(0);
  expect(packetsIn(file)).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('is refused, with no file left behind, while another one goes on, for a listener that there is not, and without a gateway', async () => {
  const file = join(folder, 'none.pcapng');
  const first = await begin('-w', join(folder, 'first.pcapng'));
  const busy = await hawserHere('capture', socket, '-w', file);
  expect(busy).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/captured already; one capture at a time/),
  });
  expect((await first.interrupt()).code).toBe(0);
  const unknown = await hawserHere('capture', socket, '-w', file, '--listener', 'tcp');
  expect(unknown).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/listener must be one of the gateway's/),
  });
  const nobody = await hawserHere('capture', join(folder, 'nobody.sock'), '-w', file);
  expect(nobody).toMatchObject({ code: 1, stderr: expect.stringMatching(/no gateway listens at/) });
  expect(() => statSync(file)).toThrow(/ENOENT/);
});

test('what is no address, or no size, is wrong usage', async () => {
  for (const [option, value] of [
    ['--snap', '63'],
    ['--address', 'localhost'],
    ['--packets', '0'],
  ] as const) {
    const { code, stderr } = await hawserHere('capture', option, value);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`hawser capture: ${option}: must be`)]);
  }
});

test('pieces of any size are put together, and what is no block is refused', () => {
  const file = readFileSync(join(folder, 'whole.pcapng'));
  const blocks = new CaptureBlocks();
  const packets = [...file].flatMap((byte) => [...blocks.push(Uint8Array.of(byte))]);
  expect(Buffer.concat(packets.map(({ bytes }) => bytes))).toEqual(file);
  for (const length of [0, 8, 13, 2 ** 30]) {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(length, 4);
    expect(() => [...new CaptureBlocks().push(header)]).toThrow(/no capture/);
  }
});
