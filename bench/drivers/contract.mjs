// What a rival has to offer to be measured by the rows with one peer: one file each, named like the rival.
//
// Both sides deliver every message by a callback; `data` is valid during the callback. `send` copies.

/**
 * @typedef {object} Listening
 * @property {unknown} target what `connect` needs to know, as JSON
 * @property {(data: Uint8Array) => boolean} send to the peer that was heard last; whether to go on
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Connected
 * @property {(data: Uint8Array) => boolean} send whether to go on; false means to wait for `onDrain`
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Driver
 * @property {number} window messages that may be on their way in the row `msgs-64`: as many as the receiver's socket buffer holds
 * @property {(onMessage: (data: Uint8Array) => void) => Promise<Listening>} listen
 * @property {(target: unknown, onMessage: (data: Uint8Array) => void, onDrain: () => void) => Promise<Connected>} connect
 */

/** Wanted size of socket buffers in bytes, the same for all. */
export const bufferBytes = 4 * 1024 * 1024;

/**
 * @param {string} name of a file in this folder, without its ending
 * @returns {Promise<Driver>}
 */
export async function loadDriver(name) {
  const { driver } = await import(`./${name}.mjs`);
  return driver;
}
