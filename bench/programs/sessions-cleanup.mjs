// The clean-up of a server with many sessions, of which few are due each second. The clock is the program's own, so that a minute of
// sessions takes no minute; what is measured is real. Configuration: {sessions, due, ticks}.
import { TimingWheel } from '../lib/interaction.mjs';
import { configuration, serve } from '../lib/program.mjs';
import { createFrame, isSessionCreated, keepAliveFrame } from '../lib/session-frames.mjs';
import { MemorySessionStore, SessionServer } from '../lib/sessions.mjs';

const {
  sessions: count,
  due,
  ticks,
} = /** @type {{sessions: number, due: number, ticks: number}} */ (configuration());

const secondMs = 1000;
const intervalSeconds = 30;
const timeoutSeconds = 90;
/** Turns of the event loop in which a clean-up and its removals have come to their end. */
const settlingTurns = 20;

/** A timer that was planned while the time went on may seem to be due so much later. */
const toleranceMs = 0.1;

/** A clock that jumps to the next second when it is told to, and goes as any other in between; with the one timer of a wheel. */
class SteppedClock {
  #steppedMs = 0;
  #atMs = performance.now();
  /** @type {{atMs: number, callback: () => void} | undefined} */
  #planned = undefined;

  now() {
    return this.#steppedMs + performance.now() - this.#atMs;
  }

  wallNow() {
    return this.now();
  }

  /** @param {() => void} callback @param {number} delayMs */
  setTimeout(callback, delayMs) {
    const planned = { atMs: this.now() + delayMs, callback };
    this.#planned = planned;
    return {
      clear: () => {
        if (this.#planned === planned) this.#planned = undefined;
      },
    };
  }

  /** To the next second; what is due by then is called. */
  step() {
    this.#steppedMs = Math.floor(this.now() / secondMs + 1) * secondMs;
    this.#atMs = performance.now();
    for (
      let planned = this.#planned;
      planned !== undefined && planned.atMs <= this.now() + toleranceMs;
      planned = this.#planned
    ) {
      this.#planned = undefined;
      planned.callback();
    }
  }
}

const clock = new SteppedClock();
const server = new SessionServer({
  store: new MemorySessionStore({ clock }),
  wheel: new TimingWheel(clock),
  maxSessions: count,
  createsPerSecond: 1_000_000,
});
await server.start();

let created = 0;
/** What the server is given as connections: they only count. */
const receivers = Array.from({ length: count }, (_, number) =>
  server.accept(
    {
      detectsLoss: true,
      send: (frame) => {
        if (isSessionCreated(frame)) ++created;
        return true;
      },
      close: () => undefined,
    },
    { identity: String(number), remoteTimeMs: () => clock.now() },
  ),
);

/** Lets the server come to the end of what it has begun; its actions take 5 ms of a turn at the most. */
async function settle() {
  for (let turn = 0; turn < settlingTurns; ++turn) await new Promise((resolve) => setImmediate(resolve));
}

let beats = 0;

/**
 * Everybody who lives sends its KeepAlive of this second.
 *
 * @param {number} second
 * @param {number} dead those who send nothing, from the first on
 */
async function beat(second, dead) {
  for (let number = dead; number < count; ++number) {
    if (number % intervalSeconds !== second % intervalSeconds) continue;
    receivers[number]?.message(keepAliveFrame(Math.floor(clock.now())));
    ++beats;
  }
  while (server.stats.keepAlives < beats) await settle();
}

/**
 * @returns {Promise<{cleanupMs: number[], followedMs: number[], expired: number}>} of each second in which sessions were due: its clean-up, and
 * that with everything that follows from it; and how many expired in the last one
 */
async function run() {
  for (const receiver of receivers) receiver.message(createFrame);
  while (created < count) await new Promise((resolve) => setImmediate(resolve));
  /** @type {number[]} */
  const cleanupMs = [];
  /** @type {number[]} */
  const followedMs = [];
  let expired = 0;
  for (let second = 0; cleanupMs.length < ticks; ++second) {
    const before = server.stats;
    const began = performance.now();
    clock.step();
    await settle();
    const ms = performance.now() - began;
    const after = server.stats;
    expired = after.expired - before.expired;
    // By then as many are found each second as fall silent.
    if (second > timeoutSeconds) {
      cleanupMs.push(after.cleanupMs.sum - before.cleanupMs.sum);
      followedMs.push(ms);
    }
    await beat(second, Math.min(count, (second + 1) * due));
  }
  return { cleanupMs, followedMs, expired };
}

serve({ run });
