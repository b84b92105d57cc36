import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { endChildren, track } from '../../bench/lib/children.mjs';

const endless = (): ChildProcess => spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)']);

it('an interruption ends all processes, and those that are started after it', async () => {
  const early = [track(endless()), track(endless())];
  const ends = early.map((child) => once(child, 'exit'));
  endChildren();
  for (const end of ends) expect(await end).toEqual([null, 'SIGKILL']);
  const late = track(endless());
  expect(await once(late, 'exit')).toEqual([null, 'SIGKILL']);
});
