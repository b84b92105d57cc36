// The cluster for development: scripts/dev-cluster.mjs.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { hasEtcd } from '../../scripts/lib/etcd.mjs';
import { freePorts } from '../../scripts/lib/free-ports.mjs';

const script = fileURLToPath(new URL('../../scripts/dev-cluster.mjs', import.meta.url));

interface Ran {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly ended: Promise<unknown>;
}

function run(...args: string[]): Ran {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line));
  }
  return { child, lines, ended: once(child, 'close').then(([code]) => code) };
}

test.skipIf(!hasEtcd)(
  'three gateways give tokens for all of them, and Ctrl-C ends everything in order',
  async () => {
    const [[port], [httpPort = 0]] = [await freePorts(3), await freePorts(3)];
    const { child, lines, ended } = run('--port', `${port}`, '--http-port', `${httpPort}`);
    try {
      const isReady = (): boolean => lines.some((line) => line.startsWith('ready'));
      await expect.poll(() => isReady() || child.exitCode !== null, { timeout: 150_000 }).toBe(true);
      expect(isReady(), lines.join('\n')).toBe(true);
      for (let index = 0; index < 3; ++index) {
        const response = await fetch(`http://127.0.0.1:${httpPort + index}/token`, {
          method: 'POST',
          body: '{}',
        });
        expect(response.status).toBe(200);
      }
      child.kill('SIGINT');
      expect(await ended, lines.join('\n')).toBe(0);
      for (const name of ['gateway1', 'gateway2', 'gateway3'])
        expect(lines).toContain(`${name} | ended (code 0)`);
      const processes = lines.flatMap((line) => /, process (\d+)$/.exec(line)?.[1] ?? []);
      expect(processes).toHaveLength(6);
      for (const id of processes) expect(() => process.kill(Number(id), 0)).toThrow('ESRCH');
    } finally {
      child.kill('SIGKILL');
    }
  },
  // Six processes, each of which has to be there.
  240_000,
);

test('its help tells the options, and a wrong one is refused', async () => {
  const helped = run('--help');
  expect(await helped.ended).toBe(0);
  expect(helped.lines.join('\n')).toContain('--data DIR');
  for (const args of [['--port', '0'], ['--port', 'x'], ['--odd']]) expect(await run(...args).ended).toBe(1);
});
