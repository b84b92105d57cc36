// Each message lost, doubled, out of order, in the wrong state, for no session.

import { describe, expect, test } from 'vitest';
import { type MessageType, messageTypes } from '../../../src/keys/wire/messages.js';
import { checkPromise, errorsOf, forged, pair, type Side, unstampedOf, World } from './pair.js';

const types = messageTypes.filter((type) => type !== 'error');

function begun(settings: Parameters<typeof pair>[1] = {}) {
  const world = new World();
  const { master, slave } = pair(world, settings);
  world.check = () => checkPromise(master, slave);
  master.begin();
  world.run(60_000);
  world.sent.length = 0;
  return { world, master, slave };
}

/** A message of each type with the right fields for the second session of a pair. */
const contents: Readonly<Record<MessageType, object>> = {
  key_notification: {
    key_ids: ['key-2'],
    rotation_timestamp: 1_800_000_100,
    epoch: 2,
    current_key_id: 'key-1',
  },
  key_acknowledgment: { selected_key_id: 'key-2', status: 'ready', suggested_rotation_timestamp: null },
  sync_confirmation: { final_rotation_timestamp: 1_800_000_091 },
  rotation_completed: { new_key_id: 'key-2', rotation_timestamp: 1_800_000_091 },
  cleanup_status_request: { new_key_id: 'key-2' },
  cleanup_status_response: {
    status: 'success',
    rolled_keys_count: 1,
    service_status: '',
    error_message: null,
  },
  cleanup_delete_request: { new_key_id: 'key-2', old_key_ids: ['key-1'] },
  cleanup_delete_response: {
    status: 'success',
    deleted_key_ids: ['key-1'],
    failed_key_ids: [],
    error_message: null,
  },
  cleanup_acknowledgment: { status: 'completed' },
  error: { error_code: 'too_late', error_message: '', details: null },
};

describe('Edge case 1: the loss', () => {
  test.each(types)('of the first copies of %s is made good', (type) => {
    const { world, master, slave } = begun();
    let lost = 0;
    world.deliver = ({ message }) => (message.message_type === type && lost++ < 3 ? [] : [10]);
    master.begin();
    world.run(180_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
    expect([[...master.live], [...slave.live]]).toEqual([['key-2'], ['key-2']]);
  });

  test('of all answers makes copies of one message: after 500 ms, then twice as long, up to 10 s, and half of it more', () => {
    const { world, master } = begun();
    world.deliver = ({ message }) => (message.message_type === 'sync_confirmation' ? [] : [10]);
    master.begin();
    world.run(200_000);
    const copies = world.sent.filter(({ message }) => message.message_type === 'sync_confirmation');
    expect(copies.length).toBeGreaterThan(15);
    const waits = copies.slice(1).map(({ atMs }, index) => atMs - (copies[index]?.atMs ?? 0));
    for (const [index, waitMs] of waits.entries()) {
      const baseMs = Math.min(500 * 2 ** index, 10_000);
      expect(waitMs).toBeGreaterThanOrEqual(baseMs);
      expect(waitMs).toBeLessThanOrEqual(baseMs * 1.5 + 1);
    }
    expect(new Set(copies.map(({ message }) => message.message_id)).size).toBe(1);
  });

  test('on a link that delivers is not made good before 30 s, or a new link', () => {
    const { world, master, slave } = begun();
    master.sessions.delivers = true;
    world.deliver = () => [];
    master.begin(60_000);
    world.run(29_000);
    expect(world.types()).toEqual(['A key_notification']);
    world.run(2000);
    expect(world.types().length).toBe(2);
    world.deliver = () => [10];
    master.sessions.push({ type: 'linked' });
    master.pump();
    world.run(1000);
    expect(slave.active?.state).toBe('CONFIRMED');
  });
});

describe('Edge case 2: a copy', () => {
  test.each(types)('of %s changes nothing', (type) => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === type ? [10, 11, 700, 20_000] : [10]);
    master.begin();
    world.run(180_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
    expect([...errorsOf(master), ...errorsOf(slave)]).toEqual([]);
    expect(slave.operations.filter((operation) => operation.type === 'fetchKeys').length).toBe(2);
  });
});

describe('Edge case 3: a SYNC_CONFIRMATION', () => {
  test('that comes while the slave is still getting ready waits for its turn', () => {
    const { world, master, slave } = begun();
    world.takesMs = (side, { type }) => (side === slave && type === 'preConfigure' ? 100 : 1);
    master.begin();
    world.run(50);
    slave.receive(forged(slave, 'sync_confirmation', { final_rotation_timestamp: 1_800_000_091 }));
    expect(slave.last.state).toBe('NOTIFIED');
    world.run(70);
    expect(slave.states().slice(-3)).toEqual(['NOTIFIED', 'ACKNOWLEDGED', 'CONFIRMED']);
    world.run(60_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });

  test('of a slave that asked for more time is refused', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ from }) => (from === slave ? [] : [10]);
    master.begin(5000);
    world.run(50);
    slave.receive(forged(slave, 'sync_confirmation', { final_rotation_timestamp: 1_800_000_066 }));
    expect([errorsOf(slave), slave.last.state]).toEqual([['bad_state'], 'NOTIFIED']);
  });

  test('of another round is refused', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === 'sync_confirmation' ? [] : [10]);
    master.begin();
    world.run(50);
    const fields = { original_message_id: world.newId(), final_rotation_timestamp: 1_800_000_091 };
    slave.receive(forged(slave, 'sync_confirmation', fields));
    expect([errorsOf(slave), slave.last.state]).toEqual([['bad_state'], 'ACKNOWLEDGED']);
  });
});

describe('A message in a state that it does not belong to leaves the session as it was', () => {
  /** Stops the second session of a pair in a state. */
  function stopped(state: string): { world: World; master: Side; slave: Side } {
    const { world, master, slave } = begun();
    const last: Record<string, MessageType> = {
      NOTIFIED: 'key_acknowledgment',
      ACKNOWLEDGED: 'sync_confirmation',
      ROTATING: 'rotation_completed',
      PENDING_DONE: 'cleanup_status_request',
      CLEANUP_STATUS_CHECKING: 'cleanup_status_response',
    };
    world.deliver = ({ message }) => (message.message_type === last[state] ? [] : [10]);
    master.begin();
    world.run(state === 'NOTIFIED' || state === 'ACKNOWLEDGED' || state === 'CONFIRMED' ? 200 : 40_000);
    world.deliver = () => [];
    world.sent.length = 0;
    return { world, master, slave };
  }

  const master: readonly (readonly [string, MessageType])[] = [
    ['NOTIFIED', 'rotation_completed'],
    ['NOTIFIED', 'cleanup_status_response'],
    ['NOTIFIED', 'cleanup_delete_response'],
    ['CONFIRMED', 'cleanup_status_response'],
    ['CONFIRMED', 'cleanup_delete_response'],
    ['ROTATING', 'cleanup_status_response'],
    ['ROTATING', 'cleanup_delete_response'],
  ];
  test.each(master)('master %s: %s', (state, type) => {
    const { master } = stopped(state);
    const before = master.active;
    expect(before?.state).toBe(state);
    master.receive(forged(master, type, contents[type]));
    expect([errorsOf(master), master.active]).toEqual([['bad_state'], before]);
  });

  const slave: readonly (readonly [string, MessageType])[] = [
    ['ACKNOWLEDGED', 'cleanup_status_request'],
    ['ACKNOWLEDGED', 'cleanup_delete_request'],
    ['ACKNOWLEDGED', 'cleanup_acknowledgment'],
    ['CONFIRMED', 'key_notification'],
    ['CONFIRMED', 'cleanup_status_request'],
    ['CONFIRMED', 'cleanup_delete_request'],
    ['CONFIRMED', 'cleanup_acknowledgment'],
    ['PENDING_DONE', 'key_notification'],
  ];
  test.each(slave)('slave %s: %s', (state, type) => {
    const { slave } = stopped(state);
    const before = slave.last;
    expect(before.state).toBe(state);
    slave.receive(forged(slave, type, contents[type]));
    expect([errorsOf(slave), slave.last]).toEqual([['bad_state'], before]);
  });

  test.each(types)('of the wrong direction: %s', (type) => {
    const { master, slave } = stopped('CONFIRMED');
    const isOfMaster =
      ['key_notification', 'sync_confirmation'].includes(type) || /request|cleanup_ack/.test(type);
    const side = isOfMaster ? master : slave;
    const before = side.last;
    side.receive(forged(side, type, contents[type]));
    expect([errorsOf(side), side.last]).toEqual([['bad_state'], before]);
  });

  test.each(types)('with the roles changed: %s', (type) => {
    const { slave } = stopped('CONFIRMED');
    const before = slave.last;
    slave.receive(forged(slave, type, { ...contents[type], master_sae_id: 'B', slave_sae_id: 'A' }));
    expect([errorsOf(slave), slave.last]).toEqual([['bad_state'], before]);
  });
});

describe('Edge case 23: a message for an unknown session', () => {
  test.each(types.filter((type) => type !== 'key_notification'))(
    'is answered by unknown_session: %s',
    (type) => {
      const { world, slave } = begun();
      slave.receive(forged(slave, type, { ...contents[type], session_id: world.newId() }));
      expect(errorsOf(slave)).toEqual(['unknown_session']);
    },
  );

  test('is answered so often in a second and no more', () => {
    const { world, slave } = begun();
    const receive = (): void =>
      slave.receive(forged(slave, 'cleanup_status_request', { new_key_id: 'k', session_id: world.newId() }));
    for (let count = 0; count < 100; ++count) receive();
    expect(errorsOf(slave).length).toBe(10);
    expect(slave.rejections().length).toBe(100);
    world.run(500);
    for (let count = 0; count < 100; ++count) receive();
    expect(errorsOf(slave).length).toBe(15);
  });

  test('is not answered when it is an ERROR', () => {
    const { world, slave } = begun();
    slave.receive(forged(slave, 'error', { ...contents.error, session_id: world.newId() }));
    expect(errorsOf(slave)).toEqual([]);
    expect(slave.rejections()).toEqual(['error unknown_session']);
  });
});

test('No more than 64 messages wait while an operation runs', () => {
  const { world, master, slave } = begun();
  world.takesMs = () => 5000;
  master.begin();
  world.run(5012);
  const message = forged(slave, 'cleanup_status_request', contents.cleanup_status_request);
  const taken = Array.from({ length: 100 }, () =>
    slave.sessions.push({ type: 'message', message, clock: undefined }),
  );
  expect(taken.filter(Boolean).length).toBe(64);
  expect(slave.sessions.push({ type: 'revoke', keyId: 'key-2' })).toBe(true);
});

test('A slave keeps no more than 16 answers, and a pair no more than 16 sessions', () => {
  const { world, master, slave } = begun({ graceMs: 300 });
  world.deliver = ({ message }) => (message.message_type === 'cleanup_status_response' ? [] : [10]);
  master.begin();
  world.run(40_000);
  for (let count = 0; count < 50; ++count) {
    slave.receive(forged(slave, 'cleanup_status_request', { new_key_id: 'key-2' }));
    world.run(2);
  }
  expect(Object.keys(slave.last.replies).length).toBe(16);
  world.deliver = () => [10];
  for (let count = 0; count < 30; ++count) {
    master.begin(1000);
    world.run(5000);
  }
  expect(master.kept.size).toBe(16);
  world.run(600_000);
  expect([master.kept.size, slave.kept.size]).toEqual([1, 1]);
});

test('A change that cannot be kept leaves everything as it was, and is tried again', () => {
  const { world, master, slave } = begun();
  let refusals = 0;
  world.keeps = () => ++refusals % 3 === 0;
  master.begin();
  world.run(120_000);
  expect(refusals).toBeGreaterThan(20);
  expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  for (const { message } of world.sent) expect(unstampedOf(message)).not.toHaveProperty('timestamp');
});
