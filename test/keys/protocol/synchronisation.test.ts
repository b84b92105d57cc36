// Agreeing on a key and an instant: times, rounds, glare, epochs.

import { describe, expect, test } from 'vitest';
import { errorsOf, forged, pair, startMs, World } from './pair.js';

const startSeconds = startMs / 1000;

function notification(world: World, fields: object = {}) {
  const { master, slave } = pair(world);
  world.deliver = () => [];
  master.begin();
  world.run(2);
  const sent = world.sent[0]?.message;
  if (sent?.message_type !== 'key_notification') throw new Error('no notification');
  return { master, slave, message: { ...sent, ...fields } };
}

describe('Edge case 6: a KEY_NOTIFICATION', () => {
  test.each([
    ['in the past', -1, 'stale_timestamp'],
    ['of this very second', 0, 'stale_timestamp'],
    ['more than an hour ahead', 3601, 'bad_format'],
  ])('whose time is %s is refused', (_, aheadSeconds, code) => {
    const { slave, message } = notification(new World(), { rotation_timestamp: startSeconds + aheadSeconds });
    slave.receive(message);
    expect(errorsOf(slave)).toEqual([code]);
    expect(slave.kept.size).toBe(0);
  });

  test.each([11, 3600])('%d s ahead is taken', (aheadSeconds) => {
    const { slave, message } = notification(new World(), { rotation_timestamp: startSeconds + aheadSeconds });
    slave.receive(message);
    expect(slave.active?.state).toBe('NOTIFIED');
    expect(errorsOf(slave)).toEqual([]);
  });

  test('is judged by the clock of the master, where the difference is known', () => {
    const world = new World();
    const { slave, message } = notification(world, { rotation_timestamp: startSeconds + 11 });
    slave.offsetMs = 5000;
    slave.receive(message);
    expect(slave.active?.rotationAtMs).toBe(startMs + 16_000);
  });
});

describe('Edge case 7: need_more_time', () => {
  test('once moves the rotation to a later time, in the same session', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin(5000);
    world.run(100);
    const [first] = world.sent;
    expect(world.types()).toEqual([
      'A key_notification',
      'B key_acknowledgment',
      'A key_notification',
      'B key_acknowledgment',
      'A sync_confirmation',
    ]);
    const second = world.sent[2]?.message;
    expect(second?.session_id).toBe(first?.message.session_id);
    expect(second?.message_id).not.toBe(first?.message.message_id);
    expect(master.active?.round).toBe(2);
    world.run(60_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });

  test('again and again ends in an abort after the last round', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.fails = (_, operation) => (operation.type === 'preConfigure' ? 'late' : undefined);
    master.begin(20_000);
    world.run(400_000);
    expect([master.last.round, master.last.outcome, master.last.reason]).toEqual([3, 'aborted', 'too_late']);
    expect([slave.last.outcome, slave.status('key-1')]).toEqual(['aborted', 'available']);
    expect([...slave.live]).toEqual([]);
  });

  test('beyond an hour from now is not followed', () => {
    const world = new World();
    const { master } = pair(world);
    world.deliver = () => [];
    master.begin();
    world.run(2);
    const fields = {
      selected_key_id: null,
      status: 'need_more_time',
      suggested_rotation_timestamp: startSeconds + 3601,
    };
    master.receive(forged(master, 'key_acknowledgment', fields));
    expect([master.last.outcome, master.last.reason]).toEqual(['aborted', 'too_late']);
    expect(errorsOf(master)).toEqual(['too_late']);
    expect(master.status('key-1')).toBe('available');
  });
});

describe('Edge case 8: a SYNC_CONFIRMATION', () => {
  test('more than lateMs after its time is answered by ERROR too_late, and both sides keep the old key', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.deliver = ({ message }) => (message.message_type === 'sync_confirmation' ? [40_000] : [10]);
    master.begin();
    world.run(80_000);
    expect([slave.last.outcome, slave.last.reason]).toEqual(['aborted', 'too_late']);
    expect([master.last.outcome, master.last.reason]).toEqual(['aborted', 'too_late']);
    expect([master.current, slave.current]).toEqual([null, null]);
    expect([[...master.live], [...slave.live]]).toEqual([[], []]);
  });

  test('within lateMs after its time rotates at once', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.deliver = ({ message }) => (message.message_type === 'sync_confirmation' ? [30_500] : [10]);
    master.begin();
    world.run(80_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });

  test('that never comes leaves the slave with the old key, and its new one is deleted', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.deliver = ({ message }) => (message.message_type === 'sync_confirmation' ? [] : [10]);
    master.begin();
    world.run(330_000);
    expect(slave.active?.state).toBe('ACKNOWLEDGED');
    world.run(2000);
    expect([slave.last.outcome, slave.last.reason]).toEqual(['aborted', 'too_late']);
    expect([...slave.live]).toEqual([]);
    expect(slave.keys.size).toBe(0);
    expect(master.last.outcome).toBe('aborted');
  });
});

describe('Edge case 10: glare', () => {
  test('the session of the SAE with the smaller id goes on, and the other one is aborted', () => {
    const world = new World();
    const { master, slave } = pair(world, {}, true);
    master.begin();
    slave.begin();
    world.run(60_000);
    expect(master.outcomes()).toEqual(['completed']);
    expect(slave.outcomes()).toEqual(['aborted', 'completed']);
    expect(errorsOf(master)).toEqual(['busy']);
    expect([master.current, slave.current]).toEqual(['key-1', 'key-1']);
    expect([slave.status('key-2'), slave.last.role]).toEqual(['available', 'slave']);
  });

  test('afterwards either may begin, and no epoch is in the way', () => {
    const world = new World();
    const { master, slave } = pair(world, {}, true);
    world.deliver = () => [];
    for (let time = 0; time < 5; ++time) {
      master.begin();
      world.run(40_000);
    }
    expect(master.outcomes()).toEqual(Array(5).fill('aborted'));
    world.deliver = () => [10];
    slave.begin();
    world.run(60_000);
    expect(slave.outcomes()).toEqual(['completed']);
  });
});

describe('Edge case 15: clocks', () => {
  test('that differ are converted: both switch at the same instant', () => {
    const world = new World();
    const { master, slave } = pair(world);
    slave.offsetMs = 4000;
    master.begin();
    world.run(1000);
    expect(slave.active?.state).toBe('CONFIRMED');
    expect((slave.active?.rotationAtMs ?? 0) - slave.offsetMs).toBe(master.active?.rotationAtMs);
  });

  test('that differ by more than is tolerated are no ground for the master', () => {
    const world = new World();
    const { master, slave } = pair(world);
    slave.offsetMs = -10_001;
    master.begin();
    world.run(60_000);
    expect([master.last.outcome, master.last.reason]).toEqual(['aborted', 'stale_timestamp']);
    expect([slave.last.outcome, slave.status('key-1')]).toEqual(['aborted', 'available']);
  });

  test('that differ by more at the confirmation make the slave abort, in a code that decides', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin();
    world.run(28);
    slave.offsetMs = 10_001;
    world.run(60_000);
    expect(errorsOf(slave)).toEqual(['too_late']);
    expect([slave.last.reason, master.last.outcome]).toEqual(['stale_timestamp', 'aborted']);
  });

  test('that were not compared schedule nothing, and the next copy is looked at again', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.clock = undefined;
    master.begin();
    world.run(100);
    expect(master.active?.state).toBe('NOTIFIED');
    expect(master.rejections()).toEqual(['key_acknowledgment stale_timestamp']);
    master.clock = 'measured';
    world.run(60_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });
});

describe('Edge case 20: several keys', () => {
  test('the first that may be used is selected, and the others are available again on both sides', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.keysPerRotation = 3;
    master.begin();
    world.run(60_000);
    expect([master.current, slave.current]).toEqual(['key-1', 'key-1']);
    for (const side of [master, slave]) {
      expect(['key-1', 'key-2', 'key-3'].map((keyId) => side.status(keyId))).toEqual([
        'in_production',
        'available',
        'available',
      ]);
    }
  });

  test('a key that was not announced cannot be selected', () => {
    const world = new World();
    const { master } = pair(world);
    world.deliver = () => [];
    master.begin();
    world.run(2);
    master.receive(
      forged(master, 'key_acknowledgment', {
        selected_key_id: 'other',
        status: 'ready',
        suggested_rotation_timestamp: null,
      }),
    );
    expect([errorsOf(master), master.active?.state]).toEqual([['bad_format'], 'NOTIFIED']);
  });
});

describe('A KEY_NOTIFICATION is refused', () => {
  test('of an epoch that was there already', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin();
    world.run(60_000);
    const first = world.sent[0]?.message;
    if (first?.message_type !== 'key_notification') throw new Error('no notification');
    slave.receive({ ...first, session_id: world.newId(), message_id: world.newId() });
    expect(errorsOf(slave)).toEqual(['replay']);
  });

  test('by an SAE that is only a master', () => {
    const world = new World();
    const { master, message } = notification(world);
    const session_id = world.newId();
    master.receive({ ...message, session_id, master_sae_id: 'B', slave_sae_id: 'A' });
    expect(errorsOf(master)).toEqual(['bad_state']);
  });

  test('when the two sides have different keys in production', () => {
    const { slave, message } = notification(new World(), { current_key_id: 'another' });
    slave.receive(message);
    expect(errorsOf(slave)).toEqual(['bad_state']);
  });

  test('and the master told which keys the slave cannot get, which it uses no more', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.keysPerRotation = 2;
    master.begin();
    world.run(2);
    world.pool.delete('key-2');
    world.run(60_000);
    expect([master.last.reason, slave.last.reason]).toEqual(['key_unavailable', 'key_unavailable']);
    expect([master.status('key-1'), master.status('key-2')]).toEqual(['available', undefined]);
  });
});
