// Rotating, going back, and what a restart finds.

import { describe, expect, test } from 'vitest';
import { checkPromise, errorsOf, forged, pair, type Side, World } from './pair.js';

/** A pair that uses a first key. */
function begun(settings: Parameters<typeof pair>[1] = {}) {
  const world = new World();
  const { master, slave } = pair(world, settings);
  world.check = () => checkPromise(master, slave);
  master.begin();
  world.run(60_000);
  world.sent.length = 0;
  return { world, master, slave };
}

function endsOf(...sides: Side[]) {
  return sides.map((side) => [side.last.outcome, side.current, [...side.live].join()]);
}

describe('Edge case 9: a new KEY_NOTIFICATION', () => {
  test('while the slave has rotated and the master has not proved it is answered by busy', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
    master.begin();
    world.run(40_000);
    expect(slave.active?.state).toBe('PENDING_DONE');
    const fields = {
      key_ids: ['key-9'],
      epoch: 99,
      rotation_timestamp: 2_000_000_000,
      current_key_id: 'key-1',
    };
    slave.receive(forged(slave, 'key_notification', { ...fields, session_id: world.newId() }));
    expect([errorsOf(slave), slave.active?.state]).toEqual([['busy'], 'PENDING_DONE']);
    expect(slave.live.has('key-1')).toBe(true);
  });

  test('that names the new key as the one in use ends the session before, and its old key goes', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === 'cleanup_acknowledgment' ? [] : [10]);
    master.begin();
    world.run(60_000);
    expect([master.active, slave.active?.state]).toEqual([undefined, 'PENDING_DONE']);
    world.deliver = () => [10];
    master.begin();
    world.run(60_000);
    expect(slave.outcomes()).toEqual(['completed', 'unacknowledged', 'completed']);
    expect(endsOf(master, slave)).toEqual([
      ['completed', 'key-3', 'key-3'],
      ['completed', 'key-3', 'key-3'],
    ]);
  });

  test('for a session that is confirmed is bad_state, and a copy of the first one changes nothing', () => {
    const { world, master, slave } = begun();
    master.begin();
    world.run(100);
    const first = world.sent[0]?.message;
    if (first?.message_type !== 'key_notification') throw new Error('no notification');
    world.deliver = () => [];
    slave.receive(first);
    expect(errorsOf(slave)).toEqual([]);
    slave.receive({ ...first, message_id: world.newId() });
    expect([errorsOf(slave), slave.active?.state]).toEqual([['bad_state'], 'CONFIRMED']);
  });

  test('after the master gave up ends what the slave had not been told of', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ from }) => (from === slave ? [] : [10]);
    master.begin();
    world.run(19_000);
    world.deliver = () => [];
    world.run(30_000);
    expect([master.last.outcome, slave.active?.state]).toEqual(['aborted', 'ACKNOWLEDGED']);
    world.deliver = () => [10];
    master.begin();
    world.run(60_000);
    expect(slave.outcomes()).toEqual(['completed', 'aborted', 'completed']);
    expect(endsOf(slave)).toEqual([['completed', 'key-2', 'key-2']]);
  });
});

describe('Edge case 13: a device', () => {
  test.each(['before', 'after'] as const)(
    'of the slave that does not preconfigure (%s) ends the session',
    (how) => {
      const { world, master, slave } = begun();
      world.fails = (side, { type }) => (side === slave && type === 'preConfigure' ? how : undefined);
      master.begin();
      world.run(60_000);
      expect([master.last.reason, slave.last.reason]).toEqual(['device_failure', 'device_failure']);
      expect(endsOf(master, slave)).toEqual([
        ['aborted', 'key-1', 'key-1'],
        ['aborted', 'key-1', 'key-1'],
      ]);
    },
  );

  test('of the slave that is slow past the rotation makes it ask for more time', () => {
    const { world, master, slave } = begun();
    let times = 0;
    world.fails = (side, { type }) =>
      side === slave && type === 'preConfigure' && ++times === 1 ? 'late' : undefined;
    master.begin(20_000);
    world.run(120_000);
    expect(master.last.round).toBe(2);
    expect(endsOf(master, slave).map(([outcome]) => outcome)).toEqual(['completed', 'completed']);
  });

  test('of the slave that does not rotate is asked again, then put back, and both keep the old key', () => {
    const { world, master, slave } = begun();
    world.fails = (side, operation) =>
      side === slave && operation.type === 'rotate' && operation.keyId === 'key-2' ? 'before' : undefined;
    master.begin();
    world.run(90_000);
    const calls = slave.operations
      .filter(({ type }) => type === 'rotate')
      .map((call) => 'keyId' in call && call.keyId);
    expect(calls.slice(-4)).toEqual(['key-2', 'key-2', 'key-2', 'key-1']);
    expect(errorsOf(slave)[0]).toBe('device_failure');
    expect(endsOf(master, slave)).toEqual([
      ['aborted', 'key-1', 'key-1'],
      ['aborted', 'key-1', 'key-1'],
    ]);
    expect([master.status('key-2'), slave.status('key-2')]).toEqual([undefined, undefined]);
  });

  test('that takes neither key decides nothing: it is asked again until it takes one', () => {
    const { world, master, slave } = begun();
    let isBroken = true;
    world.fails = (side, { type }) =>
      side === slave && type === 'rotate' && isBroken ? 'before' : undefined;
    master.begin();
    world.run(600_000);
    expect([master.active?.state, slave.active?.state]).toEqual(['ROTATING', 'ROTATING']);
    expect(slave.live).toEqual(new Set(['key-1', 'key-2']));
    isBroken = false;
    world.run(60_000);
    expect([master.current, slave.current]).toEqual([slave.current, master.current]);
    expect([master.active, slave.active]).toEqual([undefined, undefined]);
  });

  test('of the master that does not rotate takes both sides back to the old key', () => {
    const { world, master, slave } = begun();
    world.fails = (side, operation) =>
      side === master && operation.type === 'rotate' && operation.keyId === 'key-2' ? 'before' : undefined;
    master.begin();
    world.run(120_000);
    expect(master.states().slice(-3)).toEqual(['ROTATING', 'ROLLING_BACK', 'IDLE']);
    expect(slave.states().slice(-3)).toEqual(['PENDING_DONE', 'ROLLING_BACK', 'IDLE']);
    expect(endsOf(master, slave)).toEqual([
      ['rolled_back', 'key-1', 'key-1'],
      ['rolled_back', 'key-1', 'key-1'],
    ]);
    expect([slave.status('key-1'), slave.status('key-2')]).toEqual(['in_production', undefined]);
  });

  test('the slave goes back only until a message has proved the new key', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === 'cleanup_status_response' ? [] : [10]);
    master.begin();
    world.run(40_000);
    expect(slave.active?.peerProved).toBe(true);
    slave.receive(
      forged(slave, 'error', {
        error_code: 'device_failure',
        error_message: '',
        details: { roll_back: true },
      }),
    );
    expect([errorsOf(slave), slave.active?.state]).toEqual([['bad_state'], 'PENDING_DONE']);
  });
});

describe('Edge case 14: after a restart', () => {
  test('a master whose time has come is where it was, though that was not kept', () => {
    const { world, master, slave } = begun();
    world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
    master.begin();
    world.run(40_000);
    expect([master.active?.state, master.last.state]).toEqual(['ROTATING', 'CONFIRMED']);
    const before = master.active;
    master.crash();
    master.restart();
    expect(master.active).toEqual({ ...before, updatedAtMs: world.nowMs });
    world.deliver = () => [10];
    world.run(60_000);
    expect([master.last, slave.last].map(({ outcome }) => outcome)).toEqual(['completed', 'completed']);
  });

  test('one change takes the new key into production and the old one out of it', () => {
    const { world, master, slave } = begun();
    const changes: string[][] = [];
    world.keeps = (_, change) => {
      const statuses = (change.update ?? []).map(({ status }) => status);
      if (statuses.includes('in_production')) changes.push(statuses);
      return true;
    };
    master.begin();
    world.run(60_000);
    expect([changes, slave.current]).toEqual([
      [
        ['rolled', 'in_production'],
        ['rolled', 'in_production'],
      ],
      'key-2',
    ]);
  });

  test.each([
    ['the rotation still to come', 1000],
    ['the rotation overdue', 300_000],
  ])('with %s the slave rotates, since both have confirmed', (_, downMs) => {
    const { world, master, slave } = begun();
    master.begin();
    world.run(1000);
    expect(slave.active?.state).toBe('CONFIRMED');
    slave.crash();
    world.run(downMs);
    slave.restart();
    world.run(60_000);
    expect(endsOf(master, slave)).toEqual([
      ['completed', 'key-2', 'key-2'],
      ['completed', 'key-2', 'key-2'],
    ]);
  });

  test('what waits for an answer is sent again at once', () => {
    const { world, master } = begun();
    world.deliver = () => [];
    master.begin();
    world.run(5000);
    master.crash();
    world.sent.length = 0;
    master.restart();
    expect(world.types()).toEqual(['A key_notification']);
  });

  const at = ['commit', 'send', 'operation'] as const;
  const steps = at.flatMap((place) =>
    ['A', 'B'].flatMap((who) => [0, 1, 2, 3, 4, 5, 6, 7, 8].map((n) => [place, who, n] as const)),
  );
  test.each(steps)('a crash at a %s of %s, the time %d, breaks nothing', (place, who, count) => {
    const { world, master, slave } = begun();
    const side = who === 'A' ? master : slave;
    let seen = 0;
    world.keeps = (where) => {
      if (where === side && seen++ === count) side.crashAt = place;
      return true;
    };
    master.begin();
    world.run(60_000);
    if (!side.isUp) side.restart();
    world.run(400_000);
    expect([master.active, slave.active]).toEqual([undefined, undefined]);
    expect(master.current).toBe(slave.current);
  });
});

describe('Edge case 19: a new key', () => {
  test('that expires before the rotation is not rotated to', () => {
    const { world, master, slave } = begun();
    slave.keyLifetimeMs = 25_000;
    master.begin(30_000);
    world.run(60_000);
    expect([slave.last.reason, master.last.reason]).toEqual(['key_unavailable', 'key_unavailable']);
    expect([master.current, slave.current]).toEqual(['key-1', 'key-1']);
  });

  test.each(['A', 'B'])('revoked at %s before it is confirmed ends the session on both sides', (who) => {
    const { world, master, slave } = begun();
    world.takesMs = (_, { type }) => (type === 'preConfigure' ? 2000 : 1);
    master.begin();
    world.run(1000);
    (who === 'A' ? master : slave).revoke('key-2');
    world.run(100_000);
    expect([master.last.outcome, slave.last.outcome]).toEqual(['aborted', 'aborted']);
    expect([master.last.reason, slave.last.reason]).toEqual(['key_unavailable', 'key_unavailable']);
  });

  test('revoked at the slave after it is confirmed makes it abort, and the master believes it', () => {
    const { world, master, slave } = begun();
    master.begin();
    world.run(1000);
    slave.revoke('key-2');
    world.run(60_000);
    expect(errorsOf(slave)[0]).toBe('key_unavailable');
    expect(endsOf(master, slave)).toEqual([
      ['aborted', 'key-1', 'key-1'],
      ['aborted', 'key-1', 'key-1'],
    ]);
  });

  test('revoked at the master after it is confirmed is rolled back when the slave has rotated', () => {
    const { world, master, slave } = begun();
    master.begin();
    world.run(1000);
    master.revoke('key-2');
    world.run(60_000);
    expect(endsOf(master, slave)).toEqual([
      ['rolled_back', 'key-1', 'key-1'],
      ['rolled_back', 'key-1', 'key-1'],
    ]);
  });

  test('in production that is revoked stays in use as one that has expired, until another takes its place', () => {
    const { world, master, slave } = begun();
    master.revoke('key-1');
    expect(master.status('key-1')).toBe('in_production');
    expect(master.keys.get('key-1')?.expiresAtMs).toBe(master.nowMs);
    master.begin();
    world.run(60_000);
    expect(endsOf(master, slave)).toEqual([
      ['completed', 'key-2', 'key-2'],
      ['completed', 'key-2', 'key-2'],
    ]);
  });
});

describe('A master that has confirmed', () => {
  test.each([
    'busy',
    'replay',
    'bad_state',
    'bad_format',
    'stale_timestamp',
    'unsupported_version',
    'kme_unavailable',
  ])('does not take %s for a decision of the slave', (code) => {
    const { world, master } = begun();
    master.begin();
    world.run(1000);
    master.receive(forged(master, 'error', { error_code: code, error_message: '', details: null }));
    expect(master.active?.state).toBe('CONFIRMED');
    world.run(60_000);
    expect(master.last.outcome).toBe('completed');
  });

  test.each(['too_late', 'unknown_session', 'key_unavailable', 'device_failure'])(
    'takes %s for the word that the slave has not rotated',
    (code) => {
      const { world, master } = begun();
      master.begin();
      world.run(1000);
      world.deliver = () => [];
      master.receive(forged(master, 'error', { error_code: code, error_message: '', details: null }));
      expect([master.last.outcome, master.last.reason]).toEqual(['aborted', code]);
    },
  );

  test('never gives up by itself, and converges within the retransmission bound once loss ends', () => {
    const { world, master, slave } = begun();
    master.begin();
    world.run(15);
    world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
    world.run(3 * 3_600_000);
    expect([master.active?.state, slave.active?.state]).toEqual(['ROTATING', 'PENDING_DONE']);
    world.deliver = () => [10];
    world.run(15_200);
    expect(endsOf(master, slave).map(([outcome]) => outcome)).toEqual(['completed', 'completed']);
  });

  test('does not rotate on the word of a packet', () => {
    const { world, master } = begun();
    world.deliver = ({ message }) => (message.message_type === 'rotation_completed' ? [] : [10]);
    master.begin();
    world.run(40_000);
    master.peerUses('key-2');
    world.run(1000);
    expect([master.active?.state, master.current]).toEqual(['ROTATING', 'key-1']);
  });
});
