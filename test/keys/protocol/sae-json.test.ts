// What is different in the original's envelope, between two SAEs of ours.

import { expect, test } from 'vitest';
import type { Operation } from '../../../src/keys/protocol/steps.js';
import { forged, pair, type Side, World } from './pair.js';

function begun() {
  const world = new World();
  const { master, slave } = pair(world, { wire: 'sae-json' });
  master.begin();
  world.run(60_000);
  world.sent.length = 0;
  return { world, master, slave };
}

test('In the original envelope the master acknowledges the status at once, and the slave deletes then', () => {
  const { world, master, slave } = begun();
  // As the envelope has it: every answer names the notification.
  world.deliver = () => [];
  master.begin();
  world.run(2);
  slave.receive(world.sent[0]?.message ?? forged(slave, 'error'));
  world.run(5);
  master.receive(forged(master, 'key_acknowledgment', { selected_key_id: 'key-2', status: 'ready' }));
  world.run(5);
  slave.receive(
    forged(slave, 'sync_confirmation', { final_rotation_timestamp: slave.last.rotationTimestamp }),
  );
  world.run(40_000);
  master.receive(forged(master, 'rotation_completed', { new_key_id: 'key-2' }));
  world.run(5);
  slave.receive(forged(slave, 'cleanup_status_request', { new_key_id: 'key-2' }));
  world.run(5);
  master.receive(forged(master, 'cleanup_status_response', { status: 'success' }));
  world.run(5);
  expect(world.types()).not.toContain('A cleanup_delete_request');
  expect(world.types().at(-1)).toBe('A cleanup_acknowledgment');
  slave.receive(forged(slave, 'cleanup_acknowledgment', { status: 'completed' }));
  world.run(5);
  expect([master.last.outcome, slave.last.outcome, ...slave.live]).toEqual([
    'completed',
    'completed',
    'key-2',
  ]);
});

test('In the original envelope need_more_time is answered by the time that was proposed', () => {
  const { world, master } = begun();
  world.deliver = () => [];
  master.begin();
  world.run(2);
  const fields = { selected_key_id: null, status: 'need_more_time', suggested_rotation_timestamp: 1 };
  master.receive(forged(master, 'key_acknowledgment', fields));
  world.run(5);
  expect([master.active?.state, master.active?.newKeyId]).toEqual(['CONFIRMED', 'key-2']);
});

test('In the original envelope the slave deletes its old key by the deadline, since no proof ever comes', () => {
  const { world, master, slave } = begun();
  world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
  master.begin();
  world.run(60_000);
  master.crash();
  expect(slave.active?.state).toBe('PENDING_DONE');
  world.run(1_800_000);
  expect([slave.last.outcome, ...slave.live]).toEqual(['unacknowledged', 'key-2']);
});

/** A slave that was notified, and could not get its key in time; `isSlow` tells which of its calls outlast the time. */
function unreadySlave(isSlow: (slave: Side, operation: Operation) => boolean) {
  const { world, master, slave } = begun();
  world.takesMs = (side, operation) => (side === slave && isSlow(slave, operation) ? 1_000_000 : 1);
  // The original says each thing once, and takes one answer.
  world.deliver = () => [];
  master.keysPerRotation = 2;
  master.begin();
  world.run(2);
  slave.receive(world.sent[0]?.message ?? forged(slave, 'error'));
  const { rotationAtMs, rotationTimestamp } = slave.last;
  world.run(rotationAtMs - world.nowMs - 400);
  const confirm = (): void => {
    slave.receive(forged(slave, 'sync_confirmation', { final_rotation_timestamp: rotationTimestamp }));
    world.run(5);
  };
  const acknowledgments = (): string[] =>
    world.sent.flatMap(({ message }) =>
      message.message_type === 'key_acknowledgment' ? [message.status] : [],
    );
  return { world, slave, rotationAtMs, confirm, acknowledgments };
}

test.each(['fetchKeys', 'preConfigure'])(
  'In the original envelope a slave that asked for more time (%s) takes the confirmation, and rotates when it is ready',
  (type) => {
    const isSlow = (slave: Side, operation: Operation): boolean =>
      operation.type === type && slave.last.state === 'NOTIFIED';
    const { world, slave, rotationAtMs, confirm, acknowledgments } = unreadySlave(isSlow);
    expect([slave.last.state, ...acknowledgments()]).toEqual(['NOTIFIED', 'need_more_time']);
    confirm();
    world.run(rotationAtMs - world.nowMs - 1);
    expect(slave.current).toBe('key-1');
    world.run(5000);
    expect(slave.states().slice(-4)).toEqual(['NOTIFIED', 'CONFIRMED', 'ROTATING', 'PENDING_DONE']);
    expect([slave.current, ...slave.rejections()]).toEqual(['key-2']);
    expect(acknowledgments()).toEqual(['need_more_time']);
  },
);

test('In the original envelope a slave that got ready after it had asked for more time rotates at the original instant', () => {
  const isSlow = (slave: Side): boolean => slave.last.replies[slave.last.notificationId] === undefined;
  const { world, slave, rotationAtMs, confirm } = unreadySlave(isSlow);
  confirm();
  slave.crash();
  world.run(1);
  slave.restart();
  world.run(rotationAtMs - world.nowMs - 1);
  expect([slave.last.state, slave.current, slave.live.has('key-2')]).toEqual(['CONFIRMED', 'key-1', true]);
  world.run(5);
  expect([slave.last.state, slave.current]).toEqual(['PENDING_DONE', 'key-2']);
});

test('In the original envelope a confirmed slave that never gets ready stays old, and gives up at its deadline', () => {
  const { world, slave, confirm } = unreadySlave((_, { type }) => type === 'fetchKeys');
  confirm();
  world.run(250_000);
  expect([slave.last.state, slave.current]).toEqual(['CONFIRMED', 'key-1']);
  world.run(700_000);
  expect([slave.last.outcome, slave.last.reason, slave.current]).toEqual(['aborted', 'too_late', 'key-1']);
});

test('In the original envelope a confirmed slave gives up at once when its key cannot be had', () => {
  const isSlow = (slave: Side, { type }: Operation): boolean =>
    type === 'fetchKeys' && slave.last.replies[slave.last.notificationId] === undefined;
  const { world, slave, confirm } = unreadySlave(isSlow);
  world.pool.clear();
  confirm();
  world.run(5000);
  expect([slave.last.outcome, slave.last.reason, slave.current]).toEqual([
    'aborted',
    'key_unavailable',
    'key-1',
  ]);
});

test('In the original envelope only the first key is rotated to, as the original does whatever was selected', () => {
  const { world, master, slave } = begun();
  master.keysPerRotation = 2;
  slave.keyLifetimeMs = 1000;
  world.deliver = () => [10];
  master.begin();
  world.run(2);
  const first = slave.keys.get('key-1');
  if (first === undefined) throw new Error('nothing was rotated before');
  // Of the two that are announced, the second outlives the rotation here.
  slave.keys.set('key-3', { ...first, keyId: 'key-3', status: 'available', expiresAtMs: null });
  world.run(60_000);
  expect([slave.last.outcome, slave.last.reason, slave.current]).toEqual([
    'aborted',
    'key_unavailable',
    'key-1',
  ]);
});
