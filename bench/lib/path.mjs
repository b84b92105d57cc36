// The bad network of the rows about paths: native/bench/path_link.cpp between two network namespaces, and programs at its two ends.
import { accessSync, constants, readFileSync } from 'node:fs';
import { which } from '../../scripts/lib/process.mjs';
import { Program } from './child.mjs';
import { LineProgram } from './line-program.mjs';
import { builtNative } from './native.mjs';

/**
 * Settings of the link, for each direction; left out ones have their defaults in the model. Sizes count whole IP packets, headers included.
 *
 * @typedef {object} PathSettings
 * @property {number} [delayMs] one way; 0 by default
 * @property {number} [jitterMs] added to the delay, evenly distributed from 0
 * @property {boolean} [jitterReorders] whether packets overtake each other by their jitter
 * @property {number} [lossRate]
 * @property {number} [duplicateRate]
 * @property {number} [reorderRate] share of packets that are held back, so that later ones overtake them
 * @property {number} [leastHoldBackMs] how much later one that is held back arrives
 * @property {number} [mostHoldBackMs]
 * @property {number} [bytesPerSecond]
 * @property {number} [queueBytes]
 * @property {number} [mtuBytes] longer packets are lost, and nothing says so
 * @property {number} [seed]
 * @property {string} [tcpCongestion] congestion control of the kernel's TCP
 *
 * @typedef {object} DirectionFigures
 * @property {number} packets that came to the link
 * @property {number} bytes
 * @property {number} delivered
 * @property {number} lost
 * @property {number} tooLong
 * @property {number} queueFull
 * @property {number} cutOff
 * @property {number} duplicated
 * @property {number} heldBack
 * @property {number} overrun that the link lost for want of memory
 * @property {number} deviceDropped that the kernel dropped because the link did not read them in time
 * @property {number} mostLateMs how much later than planned one was delivered
 *
 * @typedef {{cpuSeconds: number, toFar: DirectionFigures, toNear: DirectionFigures}} LinkFigures
 */

/** How long a program may take to be ready, which for a client is to be connected. */
const readyMs = 20_000;

const missing = {
  nsenter: 'nsenter (Debian: util-linux)',
  tun: '/dev/net/tun that this process may open',
  rights: 'right to make network namespaces: run as root',
};

/** Bits of the effective capabilities (capabilities(7)). */
const capabilities = { netAdmin: 1n << 12n, sysAdmin: 1n << 21n };

/** @returns {boolean} whether this process may make devices and namespaces */
function hasCapabilities() {
  const [, mask = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  const needed = capabilities.netAdmin | capabilities.sysAdmin;
  return (BigInt(`0x${mask}`) & needed) === needed;
}

/** @returns {boolean} */
function hasTun() {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @returns {string | undefined} what this machine does not have and the link needs; completes "this machine has no" */
export function missingForPaths() {
  if (process.platform !== 'linux') return 'network namespaces: they are a part of Linux';
  if (!hasCapabilities()) return missing.rights;
  if (!hasTun()) return missing.tun;
  return which('nsenter') === undefined ? missing.nsenter : undefined;
}

/** Names of the congestion controls that the kernel has loaded. */
const congestionFile = '/proc/sys/net/ipv4/tcp_available_congestion_control';

/**
 * @param {string} name of a congestion control of TCP
 * @returns {string | undefined} as of `missingForPaths`
 */
export function missingTcpCongestion(name) {
  const loaded = readFileSync(congestionFile, 'utf8').trim().split(/\s+/);
  return loaded.includes(name) ? undefined : `TCP congestion control ${name}: modprobe tcp_${name}`;
}

/**
 * The settings as arguments of the program.
 *
 * @param {PathSettings} settings
 * @returns {string[]}
 */
export function settingWords(settings) {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`);
}

/**
 * A program at one end, whatever it is written in.
 *
 * @typedef {object} EndProgram
 * @property {<T>(name: string, words?: (string | number)[]) => Promise<T>} request
 * @property {() => Promise<void>} end
 */

/** One end of a link, and the programs there. */
export class PathEnd {
  /** IPv4 address. @type {string} */
  address;
  #prefix;
  /** @type {EndProgram[]} */
  #programs = [];

  /** @param {{namespace: string, address: string}} place as the link has printed it */
  constructor({ namespace, address }) {
    this.address = address;
    this.#prefix = ['nsenter', `--net=${namespace}`];
  }

  /**
   * Starts a program of the folder `programs` here.
   *
   * @param {string} name
   * @param {unknown} config
   * @returns {Promise<EndProgram>} as `Program.start`
   */
  async start(name, config) {
    return this.#add(await Program.start(name, config, { prefix: this.#prefix, readyMs }));
  }

  /**
   * Starts a native program here.
   *
   * @param {string} name of its source in native/bench, without the ending
   * @param {readonly (string | number)[]} args
   * @returns {Promise<LineProgram>}
   */
  async startNative(name, args) {
    return this.#add(await LineProgram.start(await builtNative(name), args, this.#prefix));
  }

  /** Ends its programs. */
  async end() {
    await Promise.all(this.#programs.map((program) => program.end()));
  }

  /**
   * @template {EndProgram} T
   * @param {T} program
   * @returns {T}
   */
  #add(program) {
    this.#programs.push(program);
    return program;
  }
}

/**
 * @typedef {object} Path
 * @property {PathEnd} near
 * @property {PathEnd} far
 * @property {() => Promise<LinkFigures>} figures
 * @property {(command: 'down' | 'up' | 'move') => Promise<void>} command see native/bench/path_link.cpp
 * @property {(settings: PathSettings) => Promise<void>} set
 */

/**
 * Runs `work` with a link that is gone afterwards, and so are the programs at its ends.
 *
 * @template T
 * @param {PathSettings} settings
 * @param {(path: Path) => Promise<T>} work
 * @returns {Promise<T>} rejects with RivalUnavailable if the kernel does not have `tcpCongestion`, or lets no such link be made
 */
export async function withPath(settings, work) {
  const link = await LineProgram.start(await builtNative('path_link'), settingWords(settings));
  const places = /** @type {Record<'near' | 'far', {namespace: string, address: string}>} */ (link.greeting);
  const near = new PathEnd(places.near);
  const far = new PathEnd(places.far);
  try {
    return await work({
      near,
      far,
      figures: () => link.request('figures'),
      command: (command) => link.request(command),
      set: (changed) => link.request('set', settingWords(changed)),
    });
  } finally {
    // The near side first: to some rivals the loss of the other side is an error.
    await near.end();
    await far.end();
    await link.end();
  }
}
