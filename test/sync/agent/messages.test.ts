// What a manager sends that has no place, is of somebody else, or is no message (source document, "Protocol Errors"; edge cases 34 to 40).

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { AgentRouter } from '../../../src/sync/agent/router.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import type { Start, SyncMessage } from '../../../src/sync/wire/messages.js';
import { turns, world } from './agent-world.js';
import { endAck, reqRet, startAck } from './fake-manager.js';

function idleRouter() {
  const lines: string[] = [];
  let nowMs = 0;
  const router = new AgentRouter(
    () => nowMs,
    (level, code) => lines.push(`${level} ${code}`),
  );
  const parse = (message: SyncMessage | Uint8Array): boolean =>
    router.message(message instanceof Uint8Array ? message : encodeMessage(message));
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { router, lines, parse, pass };
}

/** An agent in WaitingEndAck, with 3 items, whose End is not answered. */
async function waiting() {
  const all = await world();
  all.manager.answers = { End: () => [] };
  await all.persist(3);
  const call = all.agent.synchronizeModule('DELTA');
  await turns(3);
  expect(all.agent.state).toBe('WaitingEndAck');
  return { ...all, call };
}

describe('no session is under way', () => {
  test('case 34: nothing at all is no message: an error, and ignored', () => {
    const { parse, lines, router } = idleRouter();
    expect(parse(new Uint8Array(0))).toBe(false);
    expect(lines).toEqual(['error Malformed']);
    expect(router.stats).toEqual({ malformed: 1, unexpected: 0, wrongSession: 0 });
  });

  test('case 35: a StartAck is a message that is ignored', () => {
    const { parse, lines } = idleRouter();
    expect(parse(startAck({ nonce: 4n }))).toBe(true);
    expect(parse(startAck({ nonce: 0n }))).toBe(true);
    expect(lines).toEqual(['debug Late', 'debug Late']);
  });

  test('case 37: EndAck and ReqRet are messages that are ignored', () => {
    const { parse, lines } = idleRouter();
    expect(parse(endAck())).toBe(true);
    expect(parse(reqRet([[0, 1]]))).toBe(true);
    // They are of a session that never was.
    expect(lines).toEqual(['error WrongSession', 'error WrongSession']);
  });

  test('case 40: an envelope with nothing in it is no message for agents', () => {
    const { parse, lines } = idleRouter();
    // A root table without fields.
    expect(parse(Uint8Array.of(8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0))).toBe(false);
    expect(lines).toHaveLength(1);
  });

  test('what agents send is unexpected for them: a warning', () => {
    const { parse, lines, router } = idleRouter();
    expect(parse({ type: 'End', session: 1n })).toBe(false);
    expect(parse({ type: 'DataClean', session: 1n, seq: 0n, index: 'a' })).toBe(false);
    expect(lines).toEqual(['warning Unexpected', 'warning Unexpected']);
    expect(router.stats.unexpected).toBe(2);
  });

  test('of a flood, 20 lines a second are told, and all is counted', () => {
    const { parse, lines, router, pass } = idleRouter();
    for (let n = 0; n < 1000; ++n) parse(Uint8Array.of(1, 2, 3));
    expect(lines).toHaveLength(20);
    pass(1000);
    for (let n = 0; n < 1000; ++n) parse(Uint8Array.of(1, 2, 3));
    expect(lines).toHaveLength(40);
    expect(router.stats.malformed).toBe(2000);
  });
});

describe('a session is under way', () => {
  test('case 36: StartAck Ok, Error and Offline are each taken in WaitingStartAck', async () => {
    for (const status of ['Ok', 'Error', 'Offline'] as const) {
      const { agent, manager, finish, fill } = await world();
      manager.answers = { Start: (start) => [startAck(start, { status })] };
      fill(agent, 1);
      expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: status === 'Ok' });
    }
  });

  test('case 38: EndAck Ok, Error, Offline and ChecksumMismatch are each taken in WaitingEndAck', async () => {
    for (const status of ['Ok', 'Error', 'Offline', 'ChecksumMismatch'] as const) {
      const { manager, call, finish } = await waiting();
      manager.send(endAck({ status }));
      expect(await finish(call)).toMatchObject({ success: status === 'Ok' });
    }
  });

  test('case 39: a ReqRet without ranges is a message, and fails the sync', async () => {
    const { manager, call, finish } = await waiting();
    manager.send(reqRet([]));
    expect(await finish(call)).toMatchObject({ success: false, reason: 'Protocol' });
  });

  test('a message of another session is an error in the log, and the sync goes on', async () => {
    const { manager, client, log, call, finish } = await waiting();
    manager.send(endAck({ session: 78n, status: 'Error' }), reqRet([[5, 1]], 78n), endAck({ session: 0n }));
    expect(log).toEqual(['error WrongSession', 'error WrongSession', 'error WrongSession']);
    expect(client.stats.wrongSession).toBe(3);
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true, retransmitted: 0 });
  });

  test('a late answer of an earlier session is for debugging only, whether another is under way or not', async () => {
    const { agent, manager, client, log, call, persist, finish } = await waiting();
    manager.send(endAck());
    await finish(call);
    manager.send(endAck(), reqRet([[0, 0]]));
    expect(log).toEqual(['debug Late', 'debug Late']);
    manager.answers = { Start: (start) => [startAck(start, { session: 78n })], End: () => [] };
    await persist(1);
    const second = agent.synchronizeModule('DELTA');
    await turns(3);
    manager.send(endAck(), endAck({ session: 79n }));
    expect(log.slice(2)).toEqual(['debug Late', 'error WrongSession']);
    expect(client.stats.wrongSession).toBe(1);
    manager.send(endAck({ session: 78n }));
    expect(await finish(second)).toMatchObject({ success: true });
  });

  test('of the last 256 sessions a late answer is known for such', async () => {
    const { agent, manager, log, finish, persist } = await world();
    let session = 100n;
    manager.answers = {
      Start: (start) => [startAck(start, { session: ++session })],
      End: (end) => [endAck({ session: end.session })],
    };
    for (let n = 0; n < 257; ++n) {
      await persist(1);
      await finish(agent.synchronizeModule('DELTA'));
    }
    manager.send(endAck({ session: 101n }), endAck({ session: 102n }));
    expect(log).toEqual(['error WrongSession', 'debug Late']);
  });

  test('a message that has no place in the state is a warning, and the sync goes on', async () => {
    const { agent, manager, log, finish, persist } = await world();
    manager.answers = {
      Start: (start) => [
        startAck(start),
        endAck(),
        reqRet([[0, 0]]),
        endAck({ status: 'Processing' }),
        endAck({ status: 'Error' }),
      ],
    };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, retransmitted: 0 });
    expect(log.filter((line) => line === 'warning Unexpected')).toHaveLength(4);
    expect(agent.stats.unexpected).toBe(4);
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End']);
  });

  test('what is no message is an error in the log, and the sync goes on', async () => {
    const { manager, log, client, call, finish } = await waiting();
    manager.send(Uint8Array.of(1, 2, 3, 4), new Uint8Array(70_000));
    expect(log).toEqual(['error Malformed', 'error Malformed']);
    manager.send({ type: 'End', session: 77n });
    expect(log.at(-1)).toBe('warning Unexpected');
    expect(client.stats).toEqual({ malformed: 2, unexpected: 1, wrongSession: 0 });
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
  });

  test('a refusal that gives its reason ends the transfer of Data before End', async () => {
    const { agent, manager, finish, fill } = await world({ eps: 10 });
    manager.answers = {
      DataValue: (_, count) => (count === 1 ? [endAck({ status: 'Error', reason: 'TooManyBytes' })] : []),
    };
    fill(agent, 200);
    const result = await finish(agent.synchronizeModule('FULL'));
    expect(result).toMatchObject({ success: false, reason: 'Refused', managerReason: 'TooManyBytes' });
    expect(manager.items.length).toBeLessThan(40);
    expect(manager.all('End')).toHaveLength(0);
  });

  test('a flood of messages of every kind leaves the session as it is, and the log short', async () => {
    const { agent, manager, log, call, finish } = await waiting();
    const random = seededRandom(7);
    for (let n = 0; n < 5000; ++n) {
      const session = random() < 0.5 ? 76n : 2n ** 60n;
      manager.send(
        random() < 0.5
          ? endAck({ session, status: 'Error' })
          : random() < 0.5
            ? startAck({ nonce: BigInt(n) })
            : reqRet([[n, n + 5]], session),
      );
    }
    expect(agent.state).toBe('WaitingEndAck');
    expect(log.length).toBeLessThanOrEqual(40);
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
  });

  test('garbage made of real messages never does more than fail the sync', async () => {
    const seed = Number(process.env.HAWSER_SEED ?? 1);
    const random = seededRandom(seed);
    const whole = [endAck(), startAck({ nonce: 1n }), reqRet([[0, 1]])].map((each) => encodeMessage(each));
    const { manager, call, agent, finish } = await waiting();
    for (let n = 0; n < 5000; ++n) {
      const bytes = (whole[n % whole.length] ?? new Uint8Array()).slice(0, Math.floor(random() * 90));
      for (let flips = 0; flips < 3 && bytes.length > 0; ++flips) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      manager.send(bytes);
    }
    await turns(3);
    agent.stop();
    await finish(call);
    agent.reset();
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA')), `seed ${seed}`).toMatchObject({ success: true });
  });
});

describe('several modules on one connection', () => {
  async function two() {
    const all = await world();
    const other = all.client.agent({ module: 'sca' });
    all.fill(all.agent, 2, 'a');
    all.fill(other, 2, 'b');
    return { ...all, other };
  }

  test('the answers to Starts that are sent at once are told apart by their nonces', async () => {
    const { agent, other, manager, finish } = await two();
    const starts: Start[] = [];
    const sessionOf = ({ module }: Start): bigint => (module === 'fim' ? 1n : 2n);
    manager.answers = {
      Start: (start, count) => {
        starts.unshift(start);
        // The later one is answered first.
        return count === 0 ? [] : starts.map((each) => startAck(each, { session: sessionOf(each) }));
      },
      End: ({ session }) => [endAck({ session })],
    };
    const results = await finish(
      Promise.all([agent.synchronizeModule('FULL'), other.synchronizeModule('FULL')]),
    );
    expect(results.map(({ success }) => success)).toEqual([true, true]);
    for (const { session, item } of manager.items) expect(item.index).toBe(session === 1n ? 'a' : 'b');
  });

  test('of a manager that does not repeat nonces the answers are taken in the order of the Starts, each copy one', async () => {
    const { agent, other, manager, time, finish } = await two();
    manager.answers = { Start: () => [], End: ({ session }) => [endAck({ session })] };
    const first = agent.synchronizeModule('FULL');
    await time.passTo(30_001);
    const second = other.synchronizeModule('FULL');
    await turns(2);
    expect(manager.all('Start').map(({ module }) => module)).toEqual(['fim', 'fim', 'sca']);
    manager.send(startAck({ nonce: 0n }, { session: 1n }));
    manager.send(startAck({ nonce: 0n }, { session: 2n }));
    manager.send(startAck({ nonce: 0n }, { session: 3n }));
    expect(await finish(first)).toMatchObject({ success: true });
    expect(await finish(second)).toMatchObject({ success: true });
    for (const { session, item } of manager.items) expect(item.index).toBe(session === 1n ? 'a' : 'b');
    expect(new Set(manager.items.map(({ session }) => session))).toEqual(new Set([1n, 3n]));
  });

  test('a StartAck with the session of another module is an error, and ignored', async () => {
    const { agent, other, manager, client, finish, log } = await two();
    manager.answers = {
      Start: (start) => [startAck(start, { session: 9n })],
      End: () => [],
    };
    const first = agent.synchronizeModule('FULL');
    await turns(3);
    expect(agent.state).toBe('WaitingEndAck');
    const second = other.synchronizeModule('FULL');
    await turns(3);
    expect(other.state).toBe('WaitingStartAck');
    expect(client.stats.wrongSession).toBe(1);
    expect(log).toContain('error WrongSession');
    manager.send(endAck({ session: 9n }));
    expect(await finish(first)).toMatchObject({ success: true });
    agent.stop();
    other.stop();
    expect(await finish(second)).toMatchObject({ stopped: true });
  });
});
