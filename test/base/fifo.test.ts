import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Fifo } from '../../src/base/fifo.js';
import { seededRandom } from '../../src/base/random.js';

describe('a queue', () => {
  const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
  it(`gives back what it was given, in that order, however long it is (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const fifo = new Fifo<{ readonly n: number }>();
    let [given, taken] = [0, 0];
    // It grows to thousands, stays long for a while, and becomes empty.
    for (const bias of [0.9, 0.5, 0.1, 0.5, 0]) {
      for (let step = 0; step < 5000; ++step) {
        if (random() < bias) fifo.push({ n: given++ });
        else {
          expect(fifo.first?.n).toBe(taken < given ? taken : undefined);
          expect(fifo.shift()?.n).toBe(taken < given ? taken++ : undefined);
        }
        expect(fifo.size).toBe(given - taken);
      }
    }
    expect(fifo.size).toBe(0);
  });

  it('forgets what was taken, also when it is never empty', async () => {
    const fifo = new Fifo<object>();
    fifo.push({});
    fifo.push({});
    const taken = takeOne(fifo);
    for (let n = 0; n < 5000; ++n) {
      fifo.push({});
      fifo.shift();
    }
    await new Promise((resolve) => setImmediate(resolve));
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    expect(taken.deref()).toBeUndefined();
  });
});

/** In a frame of its own: nothing else has it when this returns. */
function takeOne(fifo: Fifo<object>): WeakRef<object> {
  return new WeakRef(fifo.shift() ?? fifo);
}
