// All processes that the benchmark has started, so that none outlives it.

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** @type {Set<ChildProcess>} */
const children = new Set();
let ended = false;

/**
 * To be called for every process as soon as it is started.
 *
 * @template {ChildProcess} T
 * @param {T} child
 * @returns {T} the same
 */
export function track(child) {
  if (ended) {
    child.kill('SIGKILL');
    return child;
  }
  children.add(child);
  child.once('close', () => children.delete(child));
  child.once('error', () => children.delete(child));
  return child;
}

/** Ends them all, and every one that is started afterwards: a row that is being measured may start more before it fails. */
export function endChildren() {
  ended = true;
  for (const child of children) child.kill('SIGKILL');
}
