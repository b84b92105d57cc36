// The child's side of a program: it answers what the benchmark asks over the channel between the two processes.
import { RivalUnavailable } from './unavailable.mjs';

/**
 * @typedef {object} ProcessMark what a process has used since it was started
 * @property {number} timeMs as of `sharedTimeMs`
 * @property {number} cpuMicros user and system time of all its threads
 * @property {number} rssBytes
 */

/**
 * Answers requests until the parent goes away. A handler that throws ends the process: nothing measured is then worth anything.
 *
 * @param {Record<string, (argument: unknown) => unknown>} handlers by the name of the request; results are JSON values, or promises
 */
export function serve(handlers) {
  process.on('message', async (/** @type {{id: number, name: string, argument: unknown}} */ request) => {
    const handler = handlers[request.name];
    if (handler === undefined) throw new Error(`nothing here is called ${request.name}`);
    const result = await handler(request.argument);
    process.send?.({ id: request.id, result: result ?? null });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ ready: true });
}

/**
 * For the load of a driver, before `serve`: tells the parent when it is one that cannot run here, and ends the process.
 *
 * @template T
 * @param {Promise<T>} work
 * @returns {Promise<T>} what `work` gives
 */
export async function orUnavailable(work) {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof RivalUnavailable)) throw error;
    await new Promise((resolve) => process.send?.({ unavailable: error.message }, resolve));
    process.exit();
  }
}

/**
 * The configuration that the parent gave.
 *
 * @returns {unknown}
 */
export function configuration() {
  return JSON.parse(process.argv[2] ?? 'null');
}

/** @returns {number} monotonic milliseconds with the same origin for all processes of this machine */
export function sharedTimeMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** @returns {ProcessMark} */
export function processMark() {
  const { user, system } = process.cpuUsage();
  return {
    timeMs: sharedTimeMs(),
    cpuMicros: user + system,
    rssBytes: process.memoryUsage.rss(),
  };
}

/**
 * @typedef {ProcessMark & {loopActiveMs: number}} BusyMark with the time in which the event loop did not wait, since the process was started
 */

/** @returns {BusyMark} */
export function busyMark() {
  return { ...processMark(), loopActiveMs: performance.eventLoopUtilization().active };
}

/**
 * The part of its core that was in use between two marks: by the process, or, when others use it too, by what runs and waits for it.
 *
 * @param {BusyMark} begin
 * @param {BusyMark} end
 * @returns {number} at most 1
 */
export function busyShareOf(begin, end) {
  const ms = end.timeMs - begin.timeMs;
  const usedMs = Math.max((end.cpuMicros - begin.cpuMicros) / 1000, end.loopActiveMs - begin.loopActiveMs);
  return Math.min(1, usedMs / ms);
}
