// What a connection takes that has a socket of its own, and what it leaves behind: counts of bytes, of a process that has nothing else.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { child } from './child-gateway.js';

const run = promisify(execFile);
const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

test('connections with the channels of every layer take little, and leave nothing behind', async () => {
  const { stdout } = await run(process.execPath, ['--expose-gc', child('connection-memory'), '500', '300']);
  const { idle, grown } = JSON.parse(stdout);
  // The slabs of one connection would be 450 KiB, with its longest message 22 MiB.
  expect(idle.external).toBeLessThan(3 * kibibyte);
  // Objects that only some connections need, such as maps of what waits, are made when they are needed.
  expect(idle.heapUsed).toBeLessThan(5 * kibibyte);
  // Resident memory depends on the machine and on how many there are: see the row connection-memory of the benchmark.
  expect(grown.external).toBeLessThan(mebibyte);
  expect(grown.heapUsed).toBeLessThan(2 * mebibyte);
});
