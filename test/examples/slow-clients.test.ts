// Every example and guide that serves peers, with a client that stops reading and one that never acknowledges. The server must go on, serve
// everyone else, and hold no more than its limits for the slow ones.

import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { formatKey, generateKey } from '../../src/token/index.js';
import { root } from '../docs/pages.js';
import { served, servingBlocks } from './served-programs.js';
import { MuteClient, PausedClient } from './slow-clients.js';
import { clientIds, longTextBytes, slowConsumer, type Talk } from './talks.js';
import { type Ending, type Report, type ServedAddress, tokenFor, WatchedProgram } from './watched-program.js';

const MiB = 1024 * 1024;
/** `maxQueuedBytes` of most servers here. The default takes too long to fill where answers are short. */
const shortQueuedBytes = MiB / 2;
/** Messages of one turn of the event loop may exceed it by 1 MiB (docs/channels.md); the rest is memory of their blocks. */
const excessBytes = 1.125 * MiB;
/** Also the end of a client that has acknowledged nothing for 30 s, which a slow machine may need for a test. */
const noProgress = 12;

const kinds = ['paused', 'mute'] as const;

mkdirSync(join(root, 'build'), { recursive: true });
// Inside the package, so that `hawser` is this package.
const folder = mkdtempSync(join(root, 'build', 'slow-clients-'));
afterAll(() => rmSync(folder, { recursive: true, maxRetries: 3 }));

test('every example and every block of a page that serves is in the table', () => {
  const examples = readdirSync(join(root, 'examples'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  expect(Object.keys(served).toSorted()).toEqual([...examples, ...servingBlocks.keys()].toSorted());
});

/** Everything that a test has opened; it is closed in reverse order. */
type Opened = { close(): Promise<unknown> }[];

function keep<T extends { close(): Promise<unknown> }>(opened: Opened, each: T): T {
  opened.push(each);
  return each;
}

/** Resolves once the program has `count` servers and serves. @returns the last server. */
async function listening(program: WatchedProgram, count: number): Promise<ServedAddress> {
  for (;;) {
    const servers = (await program.report()).servers.slice(0, count);
    const last = servers[count - 1];
    if (last !== undefined && servers.every(({ serves }) => serves)) return last;
    await pollPause();
  }
}

/** One of each kind of server. The long form (HAWSER_TEST_DEEP=1) runs all. */
const shortForm = [
  'docs/channels.md 1',
  'docs/channels.md 2',
  'docs/transport.md 1',
  'docs/transport.md 2',
  'examples/sessions-server.ts',
  'examples/sync-manager.ts',
  'examples/thermostat-device.ts',
];
const entries = Object.entries(served)
  .filter(([name]) => process.env.HAWSER_TEST_DEEP === '1' || shortForm.includes(name))
  .flatMap(([name, each]) => ('not' in each ? [] : [{ name, ...each }]));

test.each(entries)('$name goes on when clients stop reading or never acknowledge', async (entry) => {
  const own = join(folder, `${entries.indexOf(entry)}`);
  mkdirSync(own);
  const { file, args = [] } = entry.prepare(own);
  const { queuedBytes = shortQueuedBytes } = entry;
  const env = {
    HAWSER_KEY: formatKey(generateKey()),
    XDG_RUNTIME_DIR: own,
    HAWSER_TEST_QUEUED_BYTES: `${queuedBytes}`,
  };
  const opened: Opened = [];
  const program = keep(opened, new WatchedProgram(file, args, own, env));
  try {
    for (const [index, talk] of entry.talks.entries())
      await Promise.race([program.failed, withSlowClients(program, index, talk, queuedBytes, opened)]);
  } finally {
    for (const each of opened.reverse()) await each.close();
  }
});

async function withSlowClients(
  program: WatchedProgram,
  index: number,
  talk: Talk,
  queuedBytes: number,
  opened: Opened,
): Promise<void> {
  const server = await listening(program, index + 1);
  const before = await program.report();
  const honest = keep(opened, await talk.honest(server));
  await honest.ask();
  const { channels } = server;
  const slow = {
    paused: keep(opened, await PausedClient.connect(await tokenFor(server, clientIds.paused), channels)),
    mute: keep(opened, await MuteClient.connect(await tokenFor(server, clientIds.mute), channels)),
  };
  const endingsOf = ({ endings }: Report, id: bigint): readonly Ending[] =>
    endings.slice(before.endings.length).filter(({ clientId }) => clientId === `${id}`);
  const isDone = (report: Report, kind: keyof typeof slow): boolean => {
    const id = clientIds[kind];
    if (!('bounded' in talk.ends[kind])) return endingsOf(report, id).length > 0;
    return talk.untilBytes !== undefined && (report.peakBytes[`${id}`] ?? 0) > talk.untilBytes;
  };

  /** Twice what fills the queues of the slow clients. */
  const maxAnswers = (2 * (queuedBytes + excessBytes)) / longTextBytes;
  let answers = 0;
  let isOver = false;
  const asking = (async () => {
    for (; !isOver; ++answers) {
      await honest.ask();
      if (talk.sendsByItself === true && answers > maxAnswers) isOver = true;
    }
  })();
  const floods: Promise<boolean>[] = [];
  const over = kinds.map((kind) => {
    const flood = slow[kind].flood(talk.flood());
    floods.push(flood);
    const done = reported(program, (report) => isOver || isDone(report, kind));
    // A flood that is over says nothing of them.
    if (talk.untilBytes !== undefined || talk.sendsByItself === true) return done;
    return Promise.race([flood.then((isTaken) => (isTaken ? undefined : done)), done]);
  });
  await Promise.race([Promise.all(over), asking]);
  isOver = true;
  await asking;
  await honest.ask();

  const report = await program.report();
  expect(answers).toBeGreaterThan(0);
  for (const kind of kinds) {
    const id = clientIds[kind];
    const ends = talk.ends[kind];
    expect(report.peakBytes[`${id}`] ?? 0, kind).toBeLessThan(queuedBytes + excessBytes);
    const ended = endingsOf(report, id);
    const [first] = ended;
    if (kind === 'mute' && first?.code === noProgress) continue;
    if ('maySlow' in ends && first?.code === slowConsumer) continue;
    expect(ended, kind).toEqual('bounded' in ends ? [] : [expect.objectContaining(ends)]);
  }

  // A client that leaves must not end the server, whatever the server still does for that client.
  for (const kind of kinds) await slow[kind].close();
  await Promise.all(floods);
  await reported(program, ({ connected }) =>
    kinds.every((kind) => !connected.includes(`${clientIds[kind]}`)),
  );
  await honest.ask();
  const after = await program.report();
  expect([clientIds.honest, clientIds.hearer].flatMap((id) => endingsOf(after, id))).toEqual([]);
  expect(after.listenerErrors, program.output).toBe(0);
  await honest.close();
  await reported(program, ({ connected }) => !connected.includes(`${clientIds.honest}`));
}

/** Resolves once a report is so. */
async function reported(program: WatchedProgram, isSo: (report: Report) => boolean): Promise<void> {
  while (!isSo(await program.report())) await pollPause();
}

const pollPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
