import { expect, test } from 'vitest';
import { ActionQueue } from '../../../src/sessions/server/action-queue.js';
import { settled } from '../../interaction/virtual-time.js';

/** A queue whose clock an action moves. */
function world(): { queue: ActionQueue; pass(ms: number): void; errors: unknown[] } {
  let nowMs = 0;
  const errors: unknown[] = [];
  const clock = { now: () => nowMs, wallNow: () => nowMs, setTimeout: () => ({ clear: () => undefined }) };
  const queue = new ActionQueue(clock, (error) => errors.push(error));
  return {
    queue,
    errors,
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

test('actions run in the order in which they came, after `enqueue` has returned, in the same turn', async () => {
  const { queue } = world();
  const ran: string[] = [];
  setImmediate(() => ran.push('next turn'));
  queue.enqueue(() => {
    ran.push('a');
    queue.enqueue(() => ran.push('of a'));
  });
  queue.enqueue(() => ran.push('b'));
  expect(ran).toEqual([]);
  await settled();
  expect(ran).toEqual(['a', 'b', 'of a', 'next turn']);
});

test('an action that throws is told of, and does not hold up the next one', async () => {
  const { queue, errors } = world();
  const error = new Error('broken');
  let ran = false;
  queue.enqueue(() => {
    throw error;
  });
  queue.enqueue(() => {
    ran = true;
  });
  await settled();
  expect(errors).toEqual([error]);
  expect(ran).toBe(true);
});

test('a turn of the event loop is used for 5 ms at most, and then others have theirs', async () => {
  const { queue, pass } = world();
  const ran: (number | 'turn')[] = [];
  for (let n = 0; n < 12; ++n) {
    queue.enqueue(() => {
      ran.push(n);
      pass(1);
    });
  }
  const mark = (left: number): void => {
    setImmediate(() => {
      ran.push('turn');
      if (left > 1) mark(left - 1);
    });
  };
  mark(2);
  for (let turn = 0; turn < 4; ++turn) await settled();
  expect(ran.filter((each) => each !== 'turn')).toEqual([...Array(12).keys()]);
  expect(ran.indexOf('turn')).toBe(5);
  expect(ran.lastIndexOf('turn')).toBe(11);
});

test('what is enqueued while much waits runs behind it, once', async () => {
  const { queue, pass } = world();
  let next = 0;
  for (let n = 0; n < 5000; ++n) {
    queue.enqueue(() => {
      expect(next++).toBe(n);
      if (n % 500 === 0) pass(5);
      if (n % 1000 === 0) queue.enqueue(() => ++next);
    });
  }
  for (let turn = 0; turn < 15; ++turn) await settled();
  expect(next).toBe(5005);
  expect(queue.size).toBe(0);
});
