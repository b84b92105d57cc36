// The source document's two pictures, message by message.

import { describe, expect, test } from 'vitest';
import { checkPromise, pair, World } from './pair.js';

const synchronisation = [
  'A key_notification',
  'B key_acknowledgment',
  'A sync_confirmation',
  'B rotation_completed',
];

/** Copies of what waits for an answer left out. */
function firstCopies(world: World): string[] {
  const seen = new Set<string>();
  return world.sent
    .filter(({ message }) => !seen.has(message.message_id) && seen.add(message.message_id))
    .map(({ from, message }) => `${from.id} ${message.message_type}`);
}

describe('A session from its beginning to its end', () => {
  test('sends the messages of both pictures in their order, with an old key', () => {
    const world = new World();
    const { master, slave } = pair(world);
    world.check = () => checkPromise(master, slave);
    master.begin();
    world.run(60_000);
    world.sent.length = 0;
    master.begin();
    world.run(60_000);
    expect(firstCopies(world)).toEqual([
      ...synchronisation,
      'A cleanup_status_request',
      'B cleanup_status_response',
      'A cleanup_delete_request',
      'B cleanup_delete_response',
      'A cleanup_acknowledgment',
    ]);
    expect([master.outcomes(), slave.outcomes()]).toEqual([
      ['completed', 'completed'],
      ['completed', 'completed'],
    ]);
    expect([master.current, slave.current]).toEqual(['key-2', 'key-2']);
    expect([[...master.live], [...slave.live]]).toEqual([['key-2'], ['key-2']]);
    expect([[...master.keys.keys()], [...slave.keys.keys()]]).toEqual([['key-2'], ['key-2']]);
  });

  test('has nothing to delete without an old key', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin();
    world.run(60_000);
    expect(firstCopies(world)).toEqual([
      ...synchronisation,
      'A cleanup_status_request',
      'B cleanup_status_response',
      'A cleanup_acknowledgment',
    ]);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['completed', 'completed']);
  });

  test('goes through the states of the source document', () => {
    const world = new World();
    const { master, slave } = pair(world);
    master.begin();
    world.run(60_000);
    expect(master.states()).toEqual([
      'NOTIFIED',
      'ACKNOWLEDGED',
      'CONFIRMED',
      'ROTATING',
      'PENDING_DONE',
      'CLEANUP_STATUS_CHECKING',
      'IDLE',
    ]);
    expect(slave.states()).toEqual([
      'NOTIFIED',
      'ACKNOWLEDGED',
      'CONFIRMED',
      'ROTATING',
      'PENDING_DONE',
      'IDLE',
    ]);
  });
});
