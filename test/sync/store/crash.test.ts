// A process that keeps and applies sessions is killed at any moment: what it has acknowledged is there, and what it had begun can be ended.
// HAWSER_SEED repeats one round.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { documentBytes } from '../../../src/sync/store/agent-share.js';
import { type LmdbSyncStore, openStore } from '../../../src/sync/store/lmdb-store.js';
import { Dice } from '../../interaction/simulated-home.js';
import { DiskShim } from '../disk-shim.js';
import { onWholeLines } from '../lines.js';
import {
  drawnAgents,
  drawnIndices,
  drawSession,
  expectEqual,
  type MadeUpSession,
  made,
  StoreModel,
  upsert,
} from './model.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds = only === undefined ? Array.from({ length: deep ? 60 : 6 }, (_, seed) => seed) : [Number(only)];

const writer = fileURLToPath(new URL('children/writer.mjs', import.meta.url));

interface Line {
  readonly begun?: number;
  readonly staged?: number;
  readonly applied?: number;
  readonly committed?: number;
  readonly refused?: number;
  readonly failed?: string;
}

interface StagedSession extends MadeUpSession {
  readonly messages: number;
}

let directory: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-store-crash-'));
});

afterEach(async () => {
  if (child !== undefined) {
    // One that a failed test has left: it writes to the folder as long as it lives.
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }
  rmSync(directory, { recursive: true, force: true });
});

const path = () => join(directory, 'store');

function writeSessions(sessions: readonly StagedSession[]): void {
  const text = JSON.stringify(
    sessions.map(({ changes, ...rest }) => ({
      ...rest,
      size: Math.max(1, changes.length),
      changes: changes.map((change) =>
        change.operation === 'Upsert'
          ? { ...change, version: `${change.version}`, data: Buffer.from(change.data).toString() }
          : change,
      ),
    })),
  );
  writeFileSync(join(directory, 'sessions.json'), text);
}

/** Runs the writer. @param heard returns true when it is to be killed. @returns whether it came to its end. */
async function write(
  from: number,
  heard: (line: Line) => boolean,
  {
    environment = {},
    ...options
  }: { readonly environment?: object; readonly maxBytesPerAgent?: number; readonly waitsAt?: number } = {},
): Promise<{ readonly code: number | null; readonly signal: string | null; readonly errors: string }> {
  const given = JSON.stringify({
    store: path(),
    sessions: join(directory, 'sessions.json'),
    from,
    ...options,
  });
  const started = spawn(process.execPath, [writer, given], { env: { ...process.env, ...environment } });
  child = started;
  let errors = '';
  started.stderr.on('data', (text) => {
    errors += text;
  });
  // It may be gone before it has read what it is told.
  started.stdin.on('error', () => undefined);
  onWholeLines(started.stdout, (line) => {
    if (heard(JSON.parse(line))) started.kill('SIGKILL');
  });
  const [code, signal] = await once(started, 'close');
  child = undefined;
  return { code, signal, errors };
}

/** What is staged of a session begins with its first message, and nothing is missing in between. */
function expectContiguous(store: LmdbSyncStore, sessions: readonly StagedSession[], staged: number): number {
  for (const session of store.sessions()) {
    const number = Number(session.nonce) - 1;
    const count = store.stagedCount(session);
    if (number === staged) expect(count).toBe(sessions[number]?.messages);
    for (let n = 0; n < count; ++n)
      expect(Buffer.from(store.stagedMessage(session, n) ?? []).toString()).toBe(`message ${n} of ${number}`);
  }
  return store.sessions().length;
}

/** How many of the sessions were applied. */
function appliedCount(store: LmdbSyncStore, sessions: readonly StagedSession[]): number {
  const isApplied = ({ agent, module }: StagedSession, number: number) =>
    (store.committed(agent, module)?.nonce ?? 0n) > BigInt(number);
  return sessions.findLastIndex(isApplied) + 1;
}

async function expectApplied(store: LmdbSyncStore, applied: readonly StagedSession[]): Promise<void> {
  const model = new StoreModel();
  for (const session of applied) model.apply(session);
  await expectEqual(store, model, drawnAgents, drawnIndices);
  expect(await store.check()).toEqual([]);
}

describe('a store whose process is killed', () => {
  it.each(seeds)('has what was acknowledged, and ends what was begun (seed %i)', async (seed) => {
    const dice = new Dice(seed);
    const sessions = Array.from({ length: 5 }, () => ({
      ...drawSession(dice, dice.pick([20, 20_000])),
      messages: dice.magnitude(1, 500),
    }));
    writeSessions(sessions);
    let applied = 0;
    for (let kills = 4; applied < sessions.length; --kills) {
      let left = kills > 0 ? dice.magnitude(1, 20) : Number.POSITIVE_INFINITY;
      let staged = -1;
      let committed = applied - 1;
      const { errors } = await write(applied, (line) => {
        staged = line.staged ?? staged;
        committed = line.committed ?? committed;
        return --left <= 0;
      });
      expect(errors).toBe('');
      const store = await openStore(path());
      try {
        const open = expectContiguous(store, sessions, staged);
        applied = appliedCount(store, sessions);
        expect(applied).toBeGreaterThanOrEqual(committed + 1);
        if (staged >= applied) expect(open).toBe(1);
        const interrupted = store.sessions().find(({ state }) => state === 'committing');
        if (interrupted !== undefined && dice.chance(0.5)) {
          const session = sessions[applied];
          await store.commit(interrupted, session?.changes ?? [], () => 0);
          expect(appliedCount(store, sessions)).toBe(++applied);
          await expectApplied(store, sessions.slice(0, applied));
        } else if (interrupted === undefined) {
          await expectApplied(store, sessions.slice(0, applied));
        }
      } finally {
        await store.close();
      }
    }
  });
});

/** What agents have, as it is counted by the store and by whoever reads it. @param isWhole whether all commits that were begun have ended. */
function expectCounted(store: LmdbSyncStore, maxBytesPerAgent: number, isWhole: boolean): void {
  for (const agent of drawnAgents) {
    let count = 0;
    let bytes = 0;
    for (const { id, data } of store.documents(agent)) {
      ++count;
      bytes += documentBytes(data.length, Buffer.byteLength(id));
    }
    expect(store.usageOf(agent)).toEqual({ count, bytes, maxBytes: maxBytesPerAgent });
    // What a Clean deletes is there until the commit has ended.
    if (isWhole) expect(bytes).toBeLessThanOrEqual(maxBytesPerAgent);
  }
}

describe('a store that is full of what its agents may keep, whose process is killed', () => {
  it.each(deep || only !== undefined ? seeds : [17, 27, 56])(
    'counts what they have (seed %i)',
    async (seed) => {
      const dice = new Dice(1000 + seed);
      const most = 20_000;
      // A few hundred documents, or some thousands.
      const maxBytesPerAgent = dice.between(30_000, 500_000);
      const sessions = Array.from({ length: 6 }, () => ({
        ...drawSession(dice, dice.pick([20, most, most])),
        messages: dice.magnitude(1, 100),
      }));
      writeSessions(sessions);
      let next = 0;
      let isDropped = false;
      for (let kills = 8; next < sessions.length; --kills) {
        let left = kills > 0 ? dice.magnitude(1, 30) : Number.POSITIVE_INFINITY;
        const heard = (line: Line): boolean => {
          next = (line.committed ?? line.refused ?? next - 1) + 1;
          return --left <= 0;
        };
        expect(await write(next, heard, { maxBytesPerAgent })).toMatchObject({ errors: '' });
        const store = await openStore(path(), { maxBytesPerAgent });
        try {
          const [there] = store.sessions();
          expectCounted(store, maxBytesPerAgent, !isDropped && there?.state !== 'committing');
          if (there !== undefined) next = Number(there.nonce) - 1;
          if (there?.state === 'committing' && dice.chance(0.3)) {
            await store.drop(there);
            isDropped = true;
            expectCounted(store, maxBytesPerAgent, false);
            ++next;
          }
          if (store.sessions().every(({ state }) => state === 'receiving')) {
            expect(await store.check()).toEqual([]);
          }
        } finally {
          await store.close();
        }
      }
    },
  );
});

describe.runIf(process.platform === 'linux')('a store whose disk is full', () => {
  it.each([0, 3, 10])(
    'says so, loses nothing, and ends the commit when there is room (after %i writes)',
    async (after) => {
      using shim = new DiskShim();
      const changes = Array.from({ length: 10_000 }, (_, n) => upsert('a', `id ${n}`, `${n}`.repeat(20)));
      const sessions = [
        { ...made({ agent: 'x', changes: changes.slice(0, 10) }), messages: 1 },
        { ...made({ agent: 'x', changes }), messages: 500 },
      ];
      writeSessions(sessions);
      const failures: string[] = [];
      const { signal } = await write(
        0,
        ({ staged, failed }) => {
          // It commits once the disk is full, however long this process takes to see to it.
          if (staged === 1) shim.fail('write', 'ENOSPC', after);
          if (failed !== undefined) {
            failures.push(failed);
            shim.heal();
          }
          if (staged === 1 || failed !== undefined) child?.stdin?.write('go on');
          return false;
        },
        { environment: shim.environment, waitsAt: 1 },
      );
      shim.heal();
      // lmdb 3.5.6 writes beyond the memory that it takes for the text of such an error, of which the process can die: of a disk that is
      // full, this package learns before LMDB does, but not of one that fails for another reason.
      if (signal === null) expect(failures).toEqual(['ERR_HAWSER_DISK_FULL']);
      const store = await openStore(path());
      const open = expectContiguous(store, sessions, 1);
      expect(appliedCount(store, sessions)).toBe(signal === null ? 2 : 2 - open);
      await store.close();
      expect(await write(2 - open, () => false)).toMatchObject({ code: 0, errors: '' });
      const again = await openStore(path());
      await expectApplied(again, sessions);
      await again.close();
    },
  );
});
