// What the simulation of the whole layer has found, each by itself.

import { expect, test } from 'vitest';
import { checkPromise, errorsOf, forged, pair, startMs, World } from './pair.js';

/** A pair with a key in production, some time into the next rotation. */
function rotating(runMs: number) {
  const world = new World();
  const { master, slave } = pair(world);
  world.check = () => checkPromise(master, slave);
  master.begin();
  world.run(60_000);
  master.begin();
  world.run(runMs);
  return { world, master, slave };
}

test('a new key that is revoked after it was confirmed stays until both sides are back: the other may send under it', () => {
  const { world, master, slave } = rotating(1000);
  expect(slave.active?.state).toBe('CONFIRMED');
  master.revoke('key-2');
  world.run(10);
  expect([master.status('key-2'), master.keys.get('key-2')?.expiresAtMs]).toEqual([
    'assigned',
    startMs + 61_000,
  ]);
  world.run(60_000);
  expect([master.outcomes().at(-1), slave.outcomes().at(-1)]).toEqual(['rolled_back', 'rolled_back']);
  expect([master.keys.has('key-2'), slave.keys.has('key-2')]).toEqual([false, false]);
});

test('a slave that waits for proof takes unknown_session for it: a master that confirmed keeps its session until it has rotated', () => {
  const { world, master, slave } = rotating(0);
  world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
  world.run(40_000);
  expect(slave.active?.state).toBe('PENDING_DONE');
  const content = {
    original_message_id: null,
    error_code: 'unknown_session' as const,
    error_message: 'there is no such session',
    details: null,
  };
  // The master of this test says so though it has not rotated.
  world.check = () => undefined;
  master.crash();
  slave.receive(forged(slave, 'error', { ...content, session_id: slave.active?.sessionId }));
  world.run(1000);
  expect(slave.outcomes().at(-1)).toBe('unacknowledged');
});

test('a master that asks for a roll-back of a session that the slave has forgotten gets an answer', () => {
  const { world, slave } = rotating(60_000);
  const content = {
    original_message_id: null,
    error_code: 'device_failure' as const,
    error_message: 'the master could not rotate',
    details: { roll_back: true as const },
  };
  slave.receive(forged(slave, 'error', { ...content, session_id: world.newId() }));
  expect(errorsOf(slave)).toEqual(['unknown_session']);
});

test('a key that expires before the session with it could be kept is not announced, also when it is deleted meanwhile', () => {
  for (const becomes of ['deleted', 'expired'] as const) {
    const world = new World();
    const { master } = pair(world);
    let failures = 1;
    world.keeps = () => --failures < 0;
    master.keysPerRotation = 2;
    master.begin();
    world.run(1);
    expect(failures).toBe(0);
    const key = master.keys.get('key-1');
    if (key === undefined) throw new Error('there is no key');
    if (becomes === 'deleted') master.keys.delete('key-1');
    else master.keys.set('key-1', { ...key, expiresAtMs: world.nowMs });
    world.run(1000);
    const [first] = world.sent;
    expect(first?.message, becomes).toMatchObject({ message_type: 'key_notification', key_ids: ['key-2'] });
    expect([master.status('key-2'), master.last.keyIds], becomes).toEqual(['assigned', ['key-2']]);
  }
});

test('a session of which no key is left when it can be kept does not begin, and says why', () => {
  const world = new World();
  const { master } = pair(world);
  let failures = 1;
  world.keeps = () => --failures < 0;
  master.begin();
  world.run(1);
  master.keys.delete('key-1');
  world.run(60_000);
  expect(master.events).toMatchObject([{ type: 'notBegun', code: 'key_unavailable' }]);
  expect([world.sent, master.kept.size]).toEqual([[], 0]);
  master.begin();
  world.run(60_000);
  expect(master.outcomes()).toEqual(['completed']);
});
