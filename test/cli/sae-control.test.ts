// The Unix socket between an SAE that runs and the commands that ask it.

import { EventEmitter, once } from 'node:events';
import { chmodSync, existsSync, lstatSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CommandError } from '../../src/cli/errors.js';
import { askControl, type ControlRequest, openControl } from '../../src/cli/sae-control.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
const never = new AbortController().signal;
let sockets = 0;
const newPath = (): string => join(folder, `${++sockets}.sock`);

test('what is asked is answered, and the socket is its owner’s alone', async () => {
  const path = newPath();
  const asked: ControlRequest[] = [];
  const control = await openControl(path, async (request) => {
    asked.push(request);
    return { done: asked.length };
  });
  expect(lstatSync(path).mode & 0o777).toBe(0o600);
  expect(await askControl(path, { command: 'status' }, never)).toEqual({ result: { done: 1 } });
  const rotate = { command: 'rotate', peer: 'SAE_B', leadMs: 2000 } as const;
  expect(await askControl(path, rotate, never)).toEqual({ result: { done: 2 } });
  expect(asked).toEqual([{ command: 'status' }, rotate]);
  await control.close();
  expect(existsSync(path)).toBe(false);
  expect(await askControl(path, { command: 'status' }, never)).toBeUndefined();
});

test('what is refused is told in its own words', async () => {
  const path = newPath();
  const control = await openControl(path, async () => {
    throw new CommandError('no such peer');
  });
  await expect(askControl(path, { command: 'status' }, never)).rejects.toThrow('no such peer');
  await control.close();
});

test('the socket of an SAE that was killed is replaced, that of one that runs is not', async () => {
  const path = newPath();
  const first = await openControl(path, async () => 1);
  await expect(openControl(path, async () => 2)).rejects.toThrow('an SAE runs with the control socket');
  expect(await askControl(path, { command: 'status' }, never)).toEqual({ result: 1 });
  await first.close();
  // A listener that is closed without its file being removed leaves what a killed process leaves.
  const left = createServer();
  left.listen(`${path}.tmp`);
  await once(left, 'listening');
  const { rename } = await import('node:fs/promises');
  await rename(`${path}.tmp`, path);
  left.close();
  await once(left, 'close');
  expect(lstatSync(path).isSocket()).toBe(true);
  const second = await openControl(path, async () => 3);
  expect(await askControl(path, { command: 'status' }, never)).toEqual({ result: 3 });
  await second.close();
});

test('a file of another kind is left alone', async () => {
  const path = newPath();
  writeFileSync(path, 'precious');
  await expect(openControl(path, async () => 1)).rejects.toThrow('is something else');
  expect(existsSync(path)).toBe(true);
});

test('a path that no socket can have is named', async () => {
  const path = join(folder, 'x'.repeat(120));
  await expect(openControl(path, async () => 1)).rejects.toThrow(
    'the path of the control socket is longer than',
  );
  await expect(askControl(path, { command: 'status' }, never)).rejects.toThrow('longer than');
});

test('a socket that may not be opened is an error, not an SAE that does not run', async () => {
  // Whoever is allowed everything is allowed this too.
  if (process.getuid?.() === 0) return;
  const path = newPath();
  const control = await openControl(path, async () => 1);
  chmodSync(path, 0);
  await expect(askControl(path, { command: 'status' }, never)).rejects.toThrow('permission denied');
  await control.close();
});

test.each([
  ['no JSON', 'status\n', 'what came over the control socket is no line of JSON'],
  ['no object', '[1]\n', 'what came over the control socket is no line of JSON'],
  ['an unknown request', '{"command":"exit"}\n', 'the SAE does not know of this request'],
  ['a peer that is no name', '{"command":"rotate","peer":1}\n', 'the SAE does not know of this request'],
  ['a line without end', 'x'.repeat(5000), 'a line of more than 4096 bytes'],
])('hostile: %s', async (_, text, complaint) => {
  const path = newPath();
  const control = await openControl(path, async () => 1);
  const socket = connect(path);
  socket.write(text);
  let answer = '';
  for await (const part of socket) answer += String(part);
  expect(JSON.parse(answer).error).toContain(complaint);
  await control.close();
});

test('closing answers nobody any more, but lets go of who waits', async () => {
  const path = newPath();
  const events = new EventEmitter();
  const control = await openControl(path, async (_, signal) => {
    events.emit('asked');
    await once(signal, 'abort');
    events.emit('aborted');
  });
  const asked = once(events, 'asked');
  const aborted = once(events, 'aborted');
  const refused = expect(askControl(path, { command: 'status' }, never)).rejects.toThrow(
    'the SAE is closing',
  );
  await asked;
  await control.close();
  await refused;
  await aborted;
});

test('as many as may ask at a time do so without a warning of Node.js', async () => {
  const warnings: string[] = [];
  const warn = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', warn);
  const path = newPath();
  const control = await openControl(path, () => new Promise((resolve) => setTimeout(resolve, 50, 'done')));
  const answers = Array.from({ length: 16 }, () =>
    askControl(path, { command: 'status' }, new AbortController().signal),
  );
  expect(await Promise.all(answers)).toEqual(answers.map(() => ({ result: 'done' })));
  await control.close();
  process.off('warning', warn);
  expect(warnings).toEqual([]);
});
