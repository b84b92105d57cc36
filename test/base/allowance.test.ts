import { describe, expect, it } from 'vitest';
import { Allowance } from '../../src/base/allowance.js';

/** Work that ends when it is told to. */
class Work {
  isRunning = false;
  readonly done: Promise<string>;
  end: (how: () => string) => void = () => {
    throw new Error('it has not begun');
  };

  constructor(allowance: Allowance, amount: number) {
    this.done = allowance.spend(amount, async () => {
      this.isRunning = true;
      const how = await new Promise<() => string>((resolve) => {
        this.end = resolve;
      });
      this.isRunning = false;
      return how();
    });
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('an allowance', () => {
  it('lets work begin in its order, as much at a time as is allowed', async () => {
    const allowance = new Allowance(10);
    const works = [6, 4, 1, 9, 1].map((amount) => new Work(allowance, amount));
    const running = () => works.map(({ isRunning }) => isRunning);
    await turn();
    expect(running()).toEqual([true, true, false, false, false]);
    works[1]?.end(() => 'second');
    expect(await works[1]?.done).toBe('second');
    await turn();
    // The fourth does not fit, and the fifth, which would, waits behind it.
    expect(running()).toEqual([true, false, true, false, false]);
    works[0]?.end(() => 'first');
    await turn();
    expect(running()).toEqual([false, false, true, true, false]);
    works[2]?.end(() => 'third');
    await turn();
    expect(running()).toEqual([false, false, false, true, true]);
  });

  it('lets work that is more than all of it run alone', async () => {
    const allowance = new Allowance(10);
    const works = [1, 100, 1].map((amount) => new Work(allowance, amount));
    await turn();
    expect(works.map(({ isRunning }) => isRunning)).toEqual([true, false, false]);
    works[0]?.end(() => '');
    await turn();
    expect(works.map(({ isRunning }) => isRunning)).toEqual([false, true, false]);
    works[1]?.end(() => '');
    await turn();
    expect(works.map(({ isRunning }) => isRunning)).toEqual([false, false, true]);
  });

  it('is given back by work that fails', async () => {
    const allowance = new Allowance(1);
    const works = [1, 1].map((amount) => new Work(allowance, amount));
    await turn();
    works[0]?.end(() => {
      throw new RangeError('failed');
    });
    await expect(works[0]?.done).rejects.toThrow('failed');
    await turn();
    expect(works[1]?.isRunning).toBe(true);
  });
});
