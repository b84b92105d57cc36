// On what the figures were measured.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/**
 * @typedef {object} Machine
 * @property {string} cpu
 * @property {number} cores
 * @property {number} memoryBytes
 * @property {string} kernel
 * @property {string} node
 * @property {Record<string, number>} limits the kernel's ceilings for socket buffers, in bytes; none where it has no such names
 * @property {number} load processes that wanted to run when the measurement began, mean of the last minute
 */

/** @returns {Machine} */
export function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    limits: process.platform === 'linux' ? bufferLimits() : {},
    load: loadavg()[0] ?? 0,
  };
}

/** @returns {Record<string, number>} */
function bufferLimits() {
  const names = ['rmem_max', 'wmem_max'];
  return Object.fromEntries(
    names.map((name) => [name, Number(readFileSync(`/proc/sys/net/core/${name}`, 'utf8'))]),
  );
}

/**
 * @param {Machine} machine
 * @returns {string} one line for people
 */
export function machineLine({ cpu, cores, memoryBytes, kernel, node, load }) {
  const gib = (memoryBytes / 2 ** 30).toFixed(0);
  return `${cpu}, ${cores} cores, ${gib} GiB, ${kernel}, Node.js ${node}, load ${load.toFixed(1)} at the begin`;
}
