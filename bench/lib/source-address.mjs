// Addresses of their own for many clients on this machine.

const hostsPerBlock = 254;

/**
 * 127.1.0.1, 127.1.0.2 and so on, without .0 and .255.
 *
 * @param {number} index from 0
 * @returns {string}
 */
export function sourceAddress(index) {
  const block = Math.floor(index / hostsPerBlock);
  return `127.${1 + Math.floor(block / 256)}.${block % 256}.${1 + (index % hostsPerBlock)}`;
}

/** Whether this system has all of 127.0.0.0/8. */
export const hasSourceAddresses = process.platform === 'linux';
