// A clock that runs faster than the machine's: what waits for seconds is tried in less.

import { type Clock, systemClock } from '../../../src/base/clock.js';

export function fastClock(times: number): Clock {
  return {
    now: () => systemClock.now() * times,
    wallNow: systemClock.wallNow,
    setTimeout: (callback, delayMs) => systemClock.setTimeout(callback, delayMs / times),
  };
}
