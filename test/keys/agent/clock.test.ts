// What is known of the time: here, and at the other side.

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { ClockDifferenceEstimate } from '../../../src/keys/agent/clock-difference.js';
import { PeerClock } from '../../../src/keys/agent/peer-clock.js';
import { SaeTime } from './sae-time.js';

describe('the difference of two clocks', () => {
  it('is never wrong by more than it says, whatever the delays are', () => {
    for (let seed = 1; seed <= 200; ++seed) {
      const random = seededRandom(seed);
      const offsetMs = Math.floor((random() - 0.5) * 20_000);
      const [here, there] = [new ClockDifferenceEstimate(), new ClockDifferenceEstimate()];
      let nowMs = 1_000_000;
      for (let message = 0; message < 20; ++message) {
        const isOut = message % 2 === 0;
        const [from, to] = isOut ? [here, there] : [there, here];
        const stamps = from.send(Math.floor(isOut ? nowMs : nowMs + offsetMs));
        nowMs += random() * 300;
        if (random() < 0.3) continue;
        to.receive(stamps, Math.floor(isOut ? nowMs + offsetMs : nowMs));
        nowMs += random() * 100;
      }
      const ours = here.current(nowMs);
      const theirs = there.current(nowMs + offsetMs);
      if (ours !== undefined) {
        expect(Math.abs(ours.offsetMs - offsetMs), `seed ${seed}`).toBeLessThanOrEqual(ours.uncertaintyMs);
      }
      if (theirs !== undefined) {
        expect(Math.abs(theirs.offsetMs + offsetMs), `seed ${seed}`).toBeLessThanOrEqual(
          theirs.uncertaintyMs,
        );
      }
    }
  });

  it('is that of the shortest round trip, until that has grown old', () => {
    const estimate = new ClockDifferenceEstimate();
    const measure = (atMs: number, thereMs: number, backMs: number): void => {
      estimate.send(atMs);
      const echo = { sentAtMs: atMs, receivedAtMs: atMs + thereMs + 500 };
      estimate.receive({ sentAtMs: echo.receivedAtMs, echo }, atMs + thereMs + backMs);
    };
    measure(0, 10, 10);
    measure(1000, 10, 200);
    expect(estimate.current(1210)).toMatchObject({ offsetMs: 500 });
    measure(2_000_000, 10, 200);
    expect(estimate.current(2_000_210)).toMatchObject({ offsetMs: 405 });
  });

  it('is not measured with what was never sent, was sent before a reset, or cannot be', () => {
    const estimate = new ClockDifferenceEstimate();
    estimate.send(1000);
    estimate.receive({ sentAtMs: 1100, echo: { sentAtMs: 999, receivedAtMs: 1050 } }, 1200);
    expect(estimate.current(1200)).toBeUndefined();
    // It says that it held the message for longer than it was away.
    estimate.receive({ sentAtMs: 9000, echo: { sentAtMs: 1000, receivedAtMs: 1050 } }, 1200);
    expect(estimate.current(1200)).toBeUndefined();
    estimate.receive({ sentAtMs: 1100, echo: null }, 1200);
    expect(estimate.send(1300)).toEqual({ sentAtMs: 1300, echo: { sentAtMs: 1100, receivedAtMs: 1200 } });
    estimate.reset();
    estimate.receive({ sentAtMs: 1400, echo: { sentAtMs: 1300, receivedAtMs: 1350 } }, 1500);
    expect(estimate.current(1500)).toBeUndefined();
  });

  it('remembers no more than the last messages that were sent', () => {
    const estimate = new ClockDifferenceEstimate();
    for (let atMs = 0; atMs < 1000; ++atMs) estimate.send(atMs);
    estimate.receive({ sentAtMs: 1000, echo: { sentAtMs: 900, receivedAtMs: 950 } }, 1000);
    expect(estimate.current(1000)).toBeUndefined();
    estimate.receive({ sentAtMs: 1000, echo: { sentAtMs: 990, receivedAtMs: 995 } }, 1000);
    expect(estimate.current(1000)).toBeDefined();
  });
});

describe('the clock of a peer', () => {
  it('does not follow steps of the wall clock until it is told to', async () => {
    const time = new SaeTime();
    const machine = time.machine(500);
    const clock = new PeerClock(machine);
    const beganMs = clock.nowMs();
    machine.aheadMs += 86_400_000;
    await time.pass(1000);
    expect(clock.nowMs() - beganMs).toBe(1000);
    expect(clock.monotonicOf(beganMs + 5000) - machine.now()).toBeCloseTo(4000, 0);
    expect(clock.anchor()).toBe(true);
    expect(clock.anchor()).toBe(false);
    expect(clock.nowMs()).toBe(Math.floor(machine.wallNow()));
  });

  it('gives an instant to the wheel at which it says that it has come', async () => {
    const time = new SaeTime();
    const machine = time.machine(0.75);
    const clock = new PeerClock(machine);
    for (const atMs of [clock.nowMs() + 1, clock.nowMs() + 1.5, clock.nowMs() + 17.25]) {
      await time.pass(clock.monotonicOf(atMs) - machine.now());
      expect(clock.nowMs()).toBeGreaterThanOrEqual(Math.floor(atMs));
    }
  });
});
