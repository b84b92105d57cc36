import { expect, test } from 'vitest';
import { inOrder } from '../../src/base/in-order.js';

test('runs begin in the order of the items, no more at a time than the limit, and all end', async () => {
  const begun: number[] = [];
  const finish: (() => void)[] = [];
  let done = false;
  const all = inOrder([0, 1, 2, 3, 4], 2, (item) => {
    begun.push(item);
    return new Promise((resolve) => finish.push(resolve));
  }).then(() => {
    done = true;
  });
  expect(begun).toEqual([0, 1]);
  for (const [index, atOnce] of [
    [1, [0, 1, 2]],
    [0, [0, 1, 2, 3]],
    [3, [0, 1, 2, 3, 4]],
    [2, [0, 1, 2, 3, 4]],
  ] as const) {
    finish[index]?.();
    await new Promise(setImmediate);
    expect(begun).toEqual(atOnce);
  }
  expect(done).toBe(false);
  finish[4]?.();
  await all;
});

test('without items it resolves', async () => {
  await inOrder([], 3, () => Promise.reject(new Error('run')));
});
