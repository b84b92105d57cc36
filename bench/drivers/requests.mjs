// What a contender has to offer to be measured by the rows with requests: one file each, named after this one.

/** @typedef {import('../lib/program.mjs').ProcessMark} ProcessMark */

/**
 * @typedef {() => Promise<number>} Ask reads one attribute of the other side: resolves with its value
 */

/**
 * @typedef {object} Asking
 * @property {Ask[]} asks one for each connection
 * @property {() => number} [datagrams] how many were sent and received so far, where that is known
 */

/**
 * @typedef {object} RequestDriver
 * @property {(connections: number) => Promise<unknown>} serve answers reads; gives what `connect` needs to know, as JSON
 * @property {(target: unknown, connections: number) => Promise<Asking>} connect
 */

/**
 * @param {string} name of a file in this folder, without its ending
 * @returns {Promise<RequestDriver>}
 */
export async function loadRequestDriver(name) {
  const { driver } = await import(new URL(`${name}.mjs`, import.meta.url).href);
  return driver;
}
