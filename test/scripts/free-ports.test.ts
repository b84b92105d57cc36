// Ports that tests and scripts hand out: scripts/lib/free-ports.mjs.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { freePorts } from '../../scripts/lib/free-ports.mjs';

const module = new URL('../../scripts/lib/free-ports.mjs', import.meta.url).href;
const children: ChildProcess[] = [];

/** A process that takes ports and keeps them until its standard input ends. */
async function processWithPorts(count: number): Promise<{ ports: number[]; child: ChildProcess }> {
  const program = `
    import { freePorts } from ${JSON.stringify(module)};
    console.log(JSON.stringify(await freePorts(${count})));
    process.stdin.resume();
  `;
  const args = ['--input-type=module', '--eval', program];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { ports: JSON.parse(line), child };
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
});

test('processes that run at the same time never get the same port, whatever their environment says', async () => {
  // More ports than one block has: any rule by which these processes share a block gives some port twice.
  const own = await freePorts(100);
  const others = await Promise.all(Array.from({ length: 12 }, () => processWithPorts(100)));
  const all = [...own, ...others.flatMap(({ ports }) => ports)];
  expect(new Set(all).size).toBe(1300);
  for (const { ports } of others) {
    expect(ports).toEqual(Array.from({ length: 100 }, (_, index) => (ports[0] ?? 0) + index));
  }
});

/** Whether this process may listen on a port. */
async function canListen(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const listens = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.close();
  return listens;
}

test('the claim of a process ends when the process is killed', async () => {
  const { ports, child } = await processWithPorts(1);
  const lock = (ports[0] ?? 0) - 1;
  expect(await canListen(lock)).toBe(false);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  expect(await canListen(lock)).toBe(true);
});

test('one process gets each port once, also by calls at the same time', async () => {
  const calls = await Promise.all(Array.from({ length: 30 }, () => freePorts(10)));
  expect(new Set(calls.flat()).size).toBe(300);
});

test('a claim does not keep a process running', async () => {
  const { child } = await processWithPorts(1);
  const ended = once(child, 'exit');
  child.stdin?.end();
  expect(await ended).toEqual([0, null]);
});

test('more ports than a block has are refused', async () => {
  await expect(freePorts(101)).rejects.toThrow('at most 100 ports; got 101');
});
