// What a rival has to offer to be measured by the rows with one peer: one file each, named like the rival.
//
// Both sides deliver every message by a callback; `data` is valid during the callback. `send` copies.
import { RivalUnavailable } from '../lib/unavailable.mjs';

/**
 * What some rows ask for beyond the defaults. Drivers of the rows about paths heed all of it.
 *
 * @typedef {object} SideOptions
 * @property {string} [host] own IPv4 address; 127.0.0.1 by default
 * @property {() => void} [onDrain] of the listening side: its `send` has room again
 * @property {'bbr' | 'cubic'} [congestion] of hawser: how it finds its pace; its default without
 * @property {0} [redundancy] of hawser: never repeats a message before it is known to be lost; its default without
 */

/**
 * @typedef {object} Listening
 * @property {unknown} target what `connect` needs to know, as JSON
 * @property {(data: Uint8Array) => boolean} send to the peer that was heard last; whether to go on
 * @property {(data: Uint8Array) => boolean} [sendBack] what came, without a copy of it; where `send` would make one
 * @property {() => Record<string, number>} [counters] what the driver counts of its losses, by name
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Connected
 * @property {(data: Uint8Array) => boolean} send whether to go on; false means to wait for `onDrain`
 * @property {(messageBytes: number) => Promise<void>} [ready] resolves once messages of that length can be sent
 * @property {() => number} [datagrams] how many were sent so far, where that is known
 * @property {() => Record<string, number>} [counters] as of Listening
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {object} Driver
 * @property {number} window datagrams that may be on their way: as many as the receiver's socket buffer holds; Infinity where the
 * driver is reliable and ordered, and controls the flow itself
 * @property {(messageBytes: number) => number} [perDatagram] messages that share a datagram; one without
 * @property {(message: Uint8Array) => Promise<Uint8Array>} [wrap] a datagram that its client would send, where that is so simple
 * @property {(onMessage: (data: Uint8Array) => void, options?: SideOptions) => Promise<Listening>} listen
 * @property {(target: unknown, onMessage: (data: Uint8Array) => void, onDrain: () => void, options?: SideOptions) => Promise<Connected>} connect
 */

/** Where both sides are unless a row says otherwise. */
export const loopback = '127.0.0.1';

/** Wanted size of socket buffers in bytes, the same for all. */
export const bufferBytes = 4 * 1024 * 1024;

/**
 * The longest datagram of those who choose it, UDP payload in bytes: what Ethernet carries. Loopback would carry more, which no gateway
 * has between itself and its peers.
 */
export const maxDatagramBytes = 1472;

/**
 * Loads a rival's package.
 *
 * @param {string} name
 * @returns {Promise<unknown>} the module; rejects with RivalUnavailable when it is not installed here, or has no binary for here
 */
export async function importRival(name) {
  try {
    return await import(name);
  } catch (error) {
    throw new RivalUnavailable(
      `${name}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`,
    );
  }
}

/**
 * @param {Driver} driver
 * @param {number} messageBytes
 * @returns {number} messages that may be on their way
 */
export function windowOf({ window, perDatagram = () => 1 }, messageBytes) {
  return window * perDatagram(messageBytes);
}

/**
 * @param {string} name of a file in this folder, without its ending
 * @returns {Promise<Driver>}
 */
export async function loadDriver(name) {
  const { driver } = await import(new URL(`${name}.mjs`, import.meta.url).href);
  return driver;
}
