import { describe, expect, it } from 'vitest';
import { Turns } from '../../src/base/turns.js';
import { VirtualClock } from '../../src/testing/index.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  let nowMs = 0;
  const clock = new VirtualClock(() => nowMs, 0);

  it('are over when a slice has passed since they began', async () => {
    const turns = new Turns(clock, 5);
    expect(turns.over).toBe(false);
    nowMs += 4.5;
    expect(turns.over).toBe(false);
    nowMs += 0.5;
    expect(turns.over).toBe(true);
    await turns.next();
    expect(turns.over).toBe(false);
  });

  it('are given in the order of the calls, one for each turn of the event loop', async () => {
    const turns = new Turns(clock, 5);
    const given: string[] = [];
    const take = (name: string) => turns.next().then(() => given.push(name));
    void take('a').then(() => take('a again'));
    void take('b');
    void take('c');
    expect(given).toEqual([]);
    const counts: number[] = [];
    while (given.length < 4) {
      await turn();
      counts.push(given.length);
    }
    expect(given).toEqual(['a', 'b', 'c', 'a again']);
    expect(counts.every((count, n) => count <= (counts[n - 1] ?? 0) + 1)).toBe(true);
  });
});
