// Deleting old keys: what may be named, what fails, who vanishes.

import { describe, expect, test } from 'vitest';
import { encodeSession } from '../../../src/keys/store/session-record.js';
import { checkPromise, errorsOf, forged, pair, startMs, World } from './pair.js';

/** A pair with a key in production, in the middle of the cleanup of the rotation after it. */
function cleaning() {
  const world = new World();
  const { master, slave } = pair(world);
  world.check = () => checkPromise(master, slave);
  master.begin();
  world.run(60_000);
  world.deliver = ({ message }) => (message.message_type === 'cleanup_delete_request' ? [] : [10]);
  master.begin();
  world.run(40_000);
  world.sent.length = 0;
  expect([master.active?.state, slave.active?.state]).toEqual(['CLEANUP_STATUS_CHECKING', 'PENDING_DONE']);
  return { world, master, slave };
}

const request = (old_key_ids: readonly string[], new_key_id = 'key-2') => ({ new_key_id, old_key_ids });

describe('Edge case 16: a CLEANUP_DELETE_REQUEST', () => {
  test.each([
    ['names the current key', request(['key-2']), 'bad_state'],
    ['names the current key beside the old one', request(['key-1', 'key-2']), 'bad_state'],
    ['names a key that is only available', request(['key-3']), 'bad_state'],
    ['names no key', request([]), 'bad_format'],
    ['is about another new key', request(['key-1'], 'key-3'), 'bad_state'],
  ])('that %s deletes nothing', (_, fields, code) => {
    const { slave } = cleaning();
    const key = slave.keys.get('key-1');
    if (key !== undefined) slave.keys.set('key-3', { ...key, keyId: 'key-3', status: 'available' });
    const before = slave.last;
    slave.receive(forged(slave, 'cleanup_delete_request', fields));
    expect([errorsOf(slave), slave.deletedKeyIds]).toEqual([[code], []]);
    expect(slave.last).toBe(before);
  });

  test('that names a key of another peer, or one that never was, is told that it failed', () => {
    const { world, slave } = cleaning();
    slave.receive(forged(slave, 'cleanup_delete_request', request(['key-1', 'key-of-another'])));
    world.run(2);
    const response = world.sent.find(
      ({ message }) => message.message_type === 'cleanup_delete_response',
    )?.message;
    expect(response).toMatchObject({
      status: 'failed',
      deleted_key_ids: ['key-1'],
      failed_key_ids: ['key-of-another'],
    });
    expect(slave.deletedKeyIds).toEqual(['key-1']);
  });

  test('that fails is asked for again, and what stays is told', () => {
    const { world, master, slave } = cleaning();
    world.deliver = () => [10];
    world.fails = (side, { type }) => (side === slave && type === 'deleteKeys' ? 'before' : undefined);
    world.run(60_000);
    const requests = world.sent.filter(({ message }) => message.message_type === 'cleanup_delete_request');
    expect(new Set(requests.map(({ message }) => message.message_id)).size).toBe(3);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['kept', 'kept']);
    expect([master.last.failedKeyIds, slave.last.failedKeyIds]).toEqual([['key-1'], ['key-1']]);
    expect([master.status('key-1'), slave.status('key-1')]).toEqual([undefined, 'rolled']);
    world.fails = () => undefined;
    master.begin();
    world.run(60_000);
    expect([slave.last.outcome, [...slave.live]]).toEqual(['completed', ['key-3']]);
  });

  test('that comes again gets the same answer, and nothing is deleted twice', () => {
    const { world, slave } = cleaning();
    const message = forged(slave, 'cleanup_delete_request', request(['key-1']));
    slave.receive(message);
    world.run(2);
    slave.receive(message);
    const responses = world.sent.filter((sent) => sent.message.message_type === 'cleanup_delete_response');
    expect(responses.length).toBe(2);
    expect(new Set(responses.map((sent) => sent.message.message_id)).size).toBe(1);
    expect(slave.deletedKeyIds).toEqual(['key-1']);
  });
});

describe('Edge case 17: a side that vanishes', () => {
  test('before its cleanup leaves the master, which deletes its own old key by the deadline', () => {
    const { world, master, slave } = cleaning();
    slave.crash();
    world.run(1_800_000);
    expect([master.last.outcome, [...master.live]]).toEqual(['unacknowledged', ['key-2']]);
    world.deliver = () => [10];
    slave.restart();
    world.run(60_000);
    master.begin();
    world.run(60_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
    expect([...slave.live]).toEqual(['key-3']);
  });

  test('after it proved the new key leaves the slave, which deletes its own old key by the deadline', () => {
    const { world, master, slave } = cleaning();
    master.crash();
    world.run(1_900_000);
    expect([slave.last.outcome, [...slave.live]]).toEqual(['unacknowledged', ['key-2']]);
    master.restart();
    world.deliver = () => [10];
    world.run(60_000);
    expect([master.last.outcome, [...master.live]]).toEqual(['unacknowledged', ['key-2']]);
  });

  test('before it proved the new key leaves the slave with both keys, for as long as it takes', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.check = () => checkPromise(master, slave);
    master.begin();
    world.run(60_000);
    world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
    master.begin();
    world.run(40_000);
    master.crash();
    slave.peerUses('key-2');
    world.run(7 * 86_400_000);
    expect([slave.active?.state, [...slave.live]]).toEqual(['PENDING_DONE', ['key-1', 'key-2']]);
    expect(slave.active?.peerProved).toBe(true);
    master.restart();
    world.deliver = () => [10];
    world.run(60_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });

  test('and comes back after the master ended without it is told so from what the master remembers', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin();
    world.run(60_000);
    world.deliver = ({ message }) => (message.message_type.startsWith('cleanup') ? [] : [10]);
    master.begin();
    world.run(4_000_000);
    expect([master.last.outcome, slave.active?.state]).toEqual(['unacknowledged', 'PENDING_DONE']);
    world.deliver = () => [10];
    world.run(20_000);
    expect([slave.last.outcome, [...slave.live]]).toEqual(['completed', ['key-2']]);
  });
});

test('A device that does not report well is asked again, and then nothing of it is deleted', () => {
  const world = new World();
  const { master, slave } = pair(world);
  master.begin();
  world.run(60_000);
  world.fails = (_, { type }) => (type === 'deviceStatus' ? 'before' : undefined);
  master.begin();
  world.run(120_000);
  expect([master.last.outcome, slave.last.outcome]).toEqual(['kept', 'kept']);
  expect([...slave.live]).toEqual(['key-1', 'key-2']);
  expect([...master.live]).toEqual(['key-2']);
});

test('A device that has never deleted a key makes no session that a store cannot keep, and the newest keys go first', () => {
  const world = new World();
  const { master, slave } = pair(world);
  master.begin();
  world.run(60_000);
  const key = slave.keys.get('key-1');
  if (key === undefined) throw new Error('no key');
  for (const side of [master, slave])
    for (let age = 1; age <= 1100; ++age) {
      const keyId = `${age}`.padStart(256, '-');
      const rolledAtMs = startMs - age * 1000;
      side.keys.set(keyId, { ...key, peerSaeId: side.peer.id, keyId, status: 'rolled', rolledAtMs });
    }
  world.keeps = (_, { session }) => session === undefined || encodeSession(session).length > 0;
  world.fails = (_, { type }) => (type === 'deleteKeys' ? 'before' : undefined);
  master.begin();
  world.run(120_000);
  expect([master.last.outcome, slave.last.outcome]).toEqual(['kept', 'kept']);
  world.fails = () => undefined;
  master.begin();
  world.run(120_000);
  expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  expect(slave.deletedKeyIds.slice(0, 2)).toEqual(['key-2', 'key-1']);
});
