import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { ReplayWindow, replayWindowSize } from '../../../src/keys/wire/replay-window.js';

const size = BigInt(replayWindowSize);

describe('edge case 4: the replay window', () => {
  test('takes each sequence once, in any order, as far back as 1023 behind the highest', () => {
    const window = new ReplayWindow();
    expect(window.take(0n)).toBe(false);
    expect(window.take(5000n)).toBe(true);
    expect(window.take(5000n)).toBe(false);
    for (let behind = 1n; behind < size; ++behind) expect(window.take(5000n - behind)).toBe(true);
    for (let behind = 0n; behind < 2n * size; ++behind) expect(window.take(5000n - behind)).toBe(false);
    expect(window.highest).toBe(5000n);
  });

  test('after 1001 others, and after a million, a sequence is still not taken again', () => {
    const window = new ReplayWindow();
    for (let sequence = 1n; sequence <= 1001n; ++sequence) expect(window.take(sequence)).toBe(true);
    expect(window.take(1n)).toBe(false);
    expect(window.take(1_000_000n)).toBe(true);
    for (let sequence = 1n; sequence <= 1001n; ++sequence) expect(window.take(sequence)).toBe(false);
  });

  test('spans incarnations and all of 64 bits', () => {
    const window = new ReplayWindow();
    const last = 2n ** 64n - 1n;
    for (const sequence of [(1n << 32n) | 1n, (1n << 32n) | 9n, (2n << 32n) | 1n, last - 1n, last]) {
      expect(window.take(sequence)).toBe(true);
    }
    expect(window.take((2n << 32n) | 2n)).toBe(false);
    expect(window.take(last - 1n)).toBe(false);
    expect(window.take(last - 2n)).toBe(true);
  });

  test('takes nothing up to what it was restored to, and never goes back', () => {
    const window = new ReplayWindow(100n);
    expect(window.highest).toBe(100n);
    expect(window.take(100n)).toBe(false);
    expect(window.take(99n)).toBe(false);
    expect(window.take(102n)).toBe(true);
    expect(window.take(101n)).toBe(true);
    window.restore(50n);
    expect(window.take(100n)).toBe(false);
    window.restore(104n);
    expect(window.highest).toBe(104n);
    expect(window.take(103n)).toBe(false);
    expect(window.take(105n)).toBe(true);
    window.restore(104n);
    expect(window.highest).toBe(105n);
    expect(window.take(105n)).toBe(false);
  });

  test('asking changes nothing', () => {
    const window = new ReplayWindow();
    expect(window.accepts(7n)).toBe(true);
    expect(window.accepts(7n)).toBe(true);
    expect(window.highest).toBe(0n);
    expect(window.take(7n)).toBe(true);
    expect(window.accepts(7n)).toBe(false);
  });

  test('is as a list of all that was taken, whatever comes', () => {
    const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
    const random = seededRandom(seed);
    const window = new ReplayWindow();
    const taken = new Set<bigint>();
    let highest = 0n;
    for (let step = 0; step < 30_000; ++step) {
      const reach = random() < 0.01 ? 3000 : random() < 0.1 ? 1100 : 40;
      const sequence = highest + BigInt(Math.floor((random() - 0.7) * reach));
      if (sequence < 0n) continue;
      const expected =
        sequence > highest || (sequence > 0n && highest - sequence < size && !taken.has(sequence));
      expect(window.accepts(sequence), `HAWSER_SEED=${seed} step ${step}`).toBe(expected);
      expect(window.take(sequence), `HAWSER_SEED=${seed} step ${step}`).toBe(expected);
      taken.add(sequence);
      if (sequence > highest) highest = sequence;
      expect(window.highest).toBe(highest);
    }
  });
});
