// The demonstration with its KMEs and SAEs, and what it makes of what it measured.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { SaeProcessStatus } from '../../src/cli/commands/sae-run.js';
import { type SaeDemoReport, saeDemoLines, saeDemoReport } from '../../src/cli/sae-demo-report.js';
import { SaeDemoView } from '../../src/cli/sae-demo-view.js';
import type { PeerStatus, SessionStatus } from '../../src/keys/agent/status.js';
import { ansiEscape, RunningCommand, temporaryFolder } from './support.js';

const folder = temporaryFolder();
/** Where they make their files: others that run, or were killed, have theirs elsewhere. */
const scratch = join(folder, 'scratch');
mkdirSync(scratch);
const demo = (...args: readonly string[]): RunningCommand =>
  new RunningCommand(['sae', 'demo', ...args], { TMPDIR: scratch });

// Keys are agreed upon in a third of this time, or the rotation fails: more than a process of a loaded machine stands still.
describe.concurrent('in processes of its own', () => {
  test('keys are rotated, no message is lost, both ends agree, and no file remains', async ({ expect }) => {
    const file = join(folder, 'report.json');
    const { code, stdout, stderr } = await demo(
      ...['--seconds', '16', '--every', '15s', '--rate', '200', '--json', file],
    ).outcome;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).not.toContain(ansiEscape);
    expect(stdout).toMatch(/^\d:\d\d rotating, \d+ s of 16 s \| SAE_A \w+ key \S+ \| SAE_B \w+ key /m);
    expect(stdout).toMatch(/^ok: keys were rotated, no message was lost, both ends agree$/m);
    const report: SaeDemoReport = JSON.parse(readFileSync(file, 'utf8'));
    expect(report).toMatchObject({
      ok: true,
      rotations: { failed: 0 },
      leftOver: 0,
      messages: { lost: 0, misordered: 0 },
    });
    expect(report.rotations.done).toBeGreaterThan(0);
    expect(report.keys.slave).toBe(report.keys.master);
    expect(report.keyEpochs.master).toBeGreaterThanOrEqual(report.rotations.done);
    expect(report.messages.echoed).toBeGreaterThan(500);
  });

  test('Ctrl-C ends it well, once the rotation that is under way is through', async ({ expect }) => {
    const running = demo('--every', '9s', '--rate', '100');
    await running.sees(/rotating/);
    const { stdout, code } = await running.interrupt();
    expect(stdout).toMatch(/^Rotations +[1-9] in /m);
    expect(code).toBe(0);
  });
});

test('no file of a demonstration remains', () => {
  expect(readdirSync(scratch)).toEqual([]);
});

// ---- Without processes ---------------------------------------------------------------------------------------------

function peer(key: string | null, rotations: number): PeerStatus {
  return {
    ...{
      peerSaeId: 'SAE_B',
      role: 'master',
      wire: 'hawser',
      persona: 'transport',
      linked: true,
      ready: true,
    },
    ...{ productionKeyId: key, productionExpiresAtMs: null, failedClosed: false, rotations, failures: 0 },
    keys: { available: 0, assigned: 0, in_production: 1, rolled: 0, expired: 0, revoked: 0 },
    ...{ session: undefined, lastSession: undefined, nextBeginAtMs: null, clock: undefined },
    ...{ sent: 0, received: 0, unsent: 0, dropped: {} },
  };
}

function status(key: string | null, keyEpoch: number | null, traffic: object = {}): SaeProcessStatus {
  return {
    sae: { saeId: 'SAE_A', peers: [peer(key, 3)], dropped: {} },
    keyEpoch,
    traffic: { sent: 10, echoed: 10, lost: 0, misordered: 0, longestGapMs: 1, ...traffic },
  };
}

const plain = (_: unknown, text: string): string => text;

test.each<[string, SaeProcessStatus, SaeProcessStatus, string]>([
  ['all is well', status('k', 3), status('k', 3), 'ok: '],
  ['a message is lost', status('k', 3, { echoed: 9 }), status('k', 3), 'failed: 1 messages were lost'],
  [
    'a message is out of order',
    status('k', 3, { misordered: 1 }),
    status('k', 3),
    'failed: 1 messages came out of order',
  ],
  ['the ends differ', status('k', 3), status('l', 3), 'failed: the two ends use different keys'],
  ['there is no key', status(null, 3), status(null, 3), 'failed: the two ends use different keys'],
  [
    'the connection differs',
    status('k', 3),
    status('k', 4),
    'failed: the two ends of the connection have different keys',
  ],
  [
    'the connection is gone',
    status('k', null),
    status('k', null),
    'failed: the two ends of the connection have different keys',
  ],
  [
    'the connection was left out',
    status('k', 1),
    status('k', 1),
    'failed: keys of the connection were not changed',
  ],
])('the verdict when %s', (_, master, slave, verdict) => {
  const report = saeDemoReport(10, master, slave);
  expect(report.ok).toBe(verdict.startsWith('ok'));
  expect(saeDemoLines(report, plain).at(-1)).toContain(verdict);
});

test('the view marks the state of each side, and fits 80 columns', () => {
  const view = new SaeDemoView(10);
  const session: SessionStatus = {
    sessionId: '900567b7-b30b',
    role: 'master',
    state: 'ACKNOWLEDGED',
    epoch: 1,
    newKeyId: '0d3b8f9a-6a5e',
    oldKeyId: null,
    rotationAtMs: Date.now() + 60_000,
  };
  view.address = '127.0.0.1:50811';
  view.master({
    ...status(null, 0),
    sae: { saeId: 'A', peers: [{ ...peer(null, 0), session }], dropped: {} },
  });
  view.slave(status('6f1c2a9e-0f0b', 0));
  view.steady();
  const lines = view.lines(plain);
  const of = (name: string): string => lines.find((line) => line.startsWith(` ${name}`)) ?? '';
  expect(of('Master')).toContain('›[ACKNOWLEDGED]›');
  expect(of('Slave')).toContain('[IDLE]›');
  expect(lines.join('\n')).toMatch(/key none, changes to 0d3b8f9a… in \d\d\.\d s/);
  expect(of('Keys')).toContain('changing: both ends take both keys');
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(view.line()).toContain('SAE_A ACKNOWLEDGED key none | SAE_B IDLE key 6f1c2a9e…');
});
