// A network in memory, in virtual time: hours of protocol in seconds, one seed for one exact run.

import { createHash } from 'node:crypto';
import {
  type Address,
  addressFromBinary,
  addressToBinary,
  formatAddress,
  parseAddress,
} from '../base/address.js';
import {
  argumentError,
  checkBoolean,
  checkBytes,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptions,
  describe,
} from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { checkImpairment, checkSeed, impairmentDefaults, maxLinkBytes } from '../transport/impairment.js';
import {
  loadAddon,
  type NativeEndpoint,
  type NativeLinkSettings,
  type NativeSimulation,
} from '../transport/native.js';
import type { Network } from '../transport/network.js';
import { VirtualClock } from './virtual-clock.js';

/** How datagrams fare on a link. What is left out has its default. */
export interface LinkSettings {
  /** Share of datagrams that are lost, 0 to 1; 0 by default. */
  readonly lossRate?: number;
  /** Share of datagrams that arrive twice, 0 to 1; 0 by default. */
  readonly duplicateRate?: number;
  /**
   * Share of datagrams that are held back, so that later ones overtake them, 0 to 1; 0 by default. All other datagrams keep their
   * order, unless `jitterReorders` is set.
   */
  readonly reorderRate?: number;
  /** One way, in milliseconds, 0 to 60,000; 10 by default. */
  readonly delayMs?: number;
  /** Added to the delay, uniformly between 0 and this, in milliseconds, 0 to 60,000; 0 by default. */
  readonly jitterMs?: number;
  /** True: datagrams overtake each other by their jitter alone. False (default): jitter keeps the order of each pair of addresses. */
  readonly jitterReorders?: boolean;
  /**
   * Shortest time by which a datagram of `reorderRate` is held back, in milliseconds, 0.001 to 60,000; 0.001 by default. The time
   * is uniform between this and `mostHoldBackMs`. Without `jitterReorders`, all of `jitterMs` is added to it.
   */
  readonly leastHoldBackMs?: number;
  /** Longest time by which a datagram of `reorderRate` is held back, in milliseconds, `leastHoldBackMs` to 60,000; 10 by default. */
  readonly mostHoldBackMs?: number;
  /** Bandwidth; 0 (default) is no limit. */
  readonly bytesPerSecond?: number;
  /** What waits for bandwidth at most, in bytes; the excess is lost; 65,536 by default. */
  readonly queueBytes?: number;
  /**
   * A datagram that supports it (ECN, RFC 3168) and finds more than so many bytes waiting for bandwidth is marked as having
   * met congestion; 0 (default) marks none.
   */
  readonly ecnMarkBytes?: number;
  /**
   * True: all pairs of addresses that these settings cover share the bandwidth and its queue, so that connections compete.
   * False (default): each pair has them for itself.
   */
  readonly sharedBottleneck?: boolean;
  /** Longer datagrams are lost; 1,500 by default. */
  readonly mtuBytes?: number;
  /** False loses everything; true by default. */
  readonly up?: boolean;
}

/** Options of {@link SimulatedNetwork}: those of its links, and where chance and time begin. */
export interface SimulatedNetworkOptions extends LinkSettings {
  /** The same seed gives the same run: the network's chance and every random byte of the endpoints. 0 to 2^64 - 1; 1 by default. */
  readonly seed?: bigint | number;
  /** Unix milliseconds at the start; 1,700,000,000,000 by default. */
  readonly startWallMs?: number;
}

/** Options of {@link SimulatedNetwork.runUntil}. */
export interface RunUntilOptions {
  /** Virtual milliseconds to wait at most; 60,000 by default. */
  readonly limitMs?: number;
}

/** Sees a datagram on its way. The bytes are a copy. */
export type CaptureListener = (from: string, to: string, datagram: Uint8Array) => void;

const linkDefaults: NativeLinkSettings = {
  ...impairmentDefaults,
  delayMs: 10,
  ecnMarkBytes: 0,
  sharedBottleneck: false,
  mtuBytes: 1500,
  up: true,
};

const linkNames = Object.keys(linkDefaults);
const maxDatagramBytes = 65_507;
const maxRunMs = 10 * 365 * 86_400_000;
const defaultStartWallMs = 1_700_000_000_000;
const firstPort = 40_000;

/**
 * A network that `Server.listen` and `connect` take as their option `network`. Nothing in it moves by itself: `run` and
 * `runUntil` do.
 */
export class SimulatedNetwork implements Network {
  readonly clock: VirtualClock;
  /** The addon's side; of no use outside this package. */
  readonly native: NativeSimulation;
  readonly #defaults: NativeLinkSettings;
  readonly #endpoints = new Map<string, NativeEndpoint>();
  readonly #seed: bigint;
  #hosts = 0;
  #drawn = 0;
  #running = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_ADDON_MISSING, ERR_HAWSER_NODE_VERSION. */
  constructor(options: SimulatedNetworkOptions = {}) {
    const { seed = 1, startWallMs = defaultStartWallMs, ...link } = options;
    checkOptions('options', options, [...linkNames, 'seed', 'startWallMs']);
    const addon = loadAddon();
    this.#seed = checkSeed('seed', seed);
    this.native = new addon.NativeSimulation({
      seed: this.#seed,
      startWallMs: checkInteger('startWallMs', startWallMs, 0, Number.MAX_SAFE_INTEGER),
    });
    this.#defaults = checkLink(link, linkDefaults);
    this.native.setLink(null, null, this.#defaults);
    const startMicros = this.native.nowMicros();
    this.clock = new VirtualClock(() => (this.native.nowMicros() - startMicros) / 1000, startWallMs);
  }

  // ---- Time --------------------------------------------------------------------------------------------------------

  /**
   * Lets virtual time pass. Whatever happens meanwhile is delivered in its order, and promises settle in between.
   *
   * @param durationMs 0 or more, rounded to microseconds.
   */
  async run(durationMs: number): Promise<void> {
    checkNumber('durationMs', durationMs, 0, maxRunMs);
    await this.#advance(this.#microsIn(durationMs), () => false);
  }

  /**
   * Lets virtual time pass until a promise has settled or a function returns true.
   *
   * @returns the value of the promise.
   * @throws HawserError ERR_HAWSER_TIMED_OUT after `limitMs` virtual milliseconds; what the promise rejects with.
   */
  async runUntil<T>(promise: Promise<T>, options?: RunUntilOptions): Promise<T>;
  async runUntil(predicate: () => boolean, options?: RunUntilOptions): Promise<void>;
  async runUntil(
    condition: Promise<unknown> | (() => boolean),
    options: RunUntilOptions = {},
  ): Promise<unknown> {
    checkOptions('options', options, ['limitMs']);
    const limitMs = checkNumber('limitMs', options.limitMs ?? 60_000, 0, maxRunMs);
    const untilMicros = this.#microsIn(limitMs);
    if (typeof condition === 'function') {
      await this.#advance(untilMicros, condition);
      if (!condition()) throw nothingCame(limitMs);
      return undefined;
    }
    let settled = false;
    const watch = (): void => {
      settled = true;
    };
    condition.then(watch, watch);
    await this.#advance(untilMicros, () => settled);
    if (!settled) throw nothingCame(limitMs);
    return condition;
  }

  /** The clock has whole microseconds: it would never reach a part of one. */
  #microsIn(durationMs: number): number {
    return this.native.nowMicros() + Math.round(durationMs * 1000);
  }

  async #advance(untilMicros: number, done: () => boolean): Promise<void> {
    if (this.#running) throw new Error('the network runs already: await the first run before the next');
    this.#running = true;
    try {
      await settle();
      while (!done()) {
        const timerMicros =
          this.native.nowMicros() + Math.max(0, this.clock.nextDueMs - this.clock.now()) * 1000;
        const idle = this.native.step(Math.min(untilMicros, Math.ceil(timerMicros))) < 0;
        const delivered = this.native.deliver();
        const called = idle ? this.clock.runDue() : 0;
        // Also when no event was delivered: what a listener began may have been waiting for the next instant.
        await settle();
        if (idle && delivered + called === 0 && this.native.nowMicros() >= untilMicros) return;
      }
    } finally {
      this.#running = false;
    }
  }

  // ---- Links -------------------------------------------------------------------------------------------------------

  /**
   * Sets how datagrams fare from one address to another, in this direction only.
   *
   * @param from `host:port`, where port 0 means every port of the host; undefined means everywhere.
   * @param to likewise.
   * @param settings what is left out is as in the options of the constructor.
   */
  setLink(from: string | undefined, to: string | undefined, settings: LinkSettings): void {
    this.native.setLink(binaryOf('from', from), binaryOf('to', to), checkLink(settings, this.#defaults));
  }

  /** Cuts two addresses off from each other, in both directions, or joins them again. */
  partition(a: string, b: string, parted = true): void {
    this.native.partition(binaryOf('a', a), binaryOf('b', b), parted);
  }

  /**
   * Gives the socket at an address another one, as a NAT does that forgets its mapping: the socket does not notice.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when there is no socket at `from`.
   */
  moveAddress(from: string, to: string): void {
    const old = formatAddress(parseAddress(from, 'from'));
    const next = formatAddress(parseAddress(to, 'to'));
    const endpoint = this.#endpoints.get(old);
    if (endpoint === undefined)
      throw argumentError('from', 'the address of an open socket of this network', describe(from));
    this.native.moveAddress(endpoint, binaryOf('to', next));
    this.#endpoints.delete(old);
    this.#endpoints.set(next, endpoint);
  }

  /** Shows every datagram that is sent, those included that will be lost. Undefined ends it. */
  capture(listener: CaptureListener | undefined): void {
    if (listener === undefined) {
      this.native.capture(null);
      return;
    }
    checkFunction('listener', listener);
    this.native.capture((from, to, datagram) => listener(textOf(from), textOf(to), datagram));
  }

  /** Sends a datagram that no socket made, as an attacker would. It arrives at once, whatever the link between the two addresses is like. */
  inject(from: string, to: string, datagram: Uint8Array): void {
    const bytes = checkBytes('datagram', datagram, 0, maxDatagramBytes);
    this.native.inject(binaryOf('from', from), binaryOf('to', to), bytes);
  }

  // ---- Sockets -----------------------------------------------------------------------------------------------------

  assignAddress(address: Address): Address {
    const index = ++this.#hosts;
    const host =
      address.host === '0.0.0.0'
        ? `10.${(index >> 16) & 0xff}.${(index >> 8) & 0xff}.${index & 0xff}`
        : address.host === '::'
          ? parseAddress({ host: `fd00::${index.toString(16).slice(-4)}`, port: 0 }).host
          : address.host;
    return { host, port: address.port === 0 ? firstPort + (index % 20_000) : address.port };
  }

  randomBytes(length: number): Uint8Array {
    const stream = createHash('shake256', { outputLength: length });
    return new Uint8Array(stream.update(`hawser/testing ${this.#seed} ${++this.#drawn}`).digest());
  }

  attach(endpoint: NativeEndpoint, address: string): void {
    this.#endpoints.set(address, endpoint);
  }

  moved(endpoint: NativeEndpoint, from: string, to: string): void {
    // A socket that had been moved (`moveAddress`) is not known by the address that it knows itself.
    for (const [address, each] of this.#endpoints) {
      if (address === from || each === endpoint) this.#endpoints.delete(address);
    }
    this.#endpoints.set(to, endpoint);
  }
}

/** Lets every promise settle that can without the network: one turn of the event loop. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function nothingCame(limitMs: number): HawserError {
  return new HawserError('ERR_HAWSER_TIMED_OUT', `nothing came of it in ${limitMs} ms of virtual time`);
}

function checkLink(settings: LinkSettings, defaults: NativeLinkSettings): NativeLinkSettings {
  checkOptions('settings', settings, linkNames);
  const shared = settings.sharedBottleneck ?? defaults.sharedBottleneck;
  return {
    ...checkImpairment('', settings, defaults),
    ecnMarkBytes: checkInteger(
      'ecnMarkBytes',
      settings.ecnMarkBytes ?? defaults.ecnMarkBytes,
      0,
      maxLinkBytes,
    ),
    sharedBottleneck: checkBoolean('sharedBottleneck', shared),
    mtuBytes: checkInteger('mtuBytes', settings.mtuBytes ?? defaults.mtuBytes, 0, maxDatagramBytes),
    up: checkBoolean('up', settings.up ?? defaults.up),
  };
}

function binaryOf(name: string, address: string): Uint8Array;
function binaryOf(name: string, address: string | undefined): Uint8Array | null;
function binaryOf(name: string, address: string | undefined): Uint8Array | null {
  return address === undefined ? null : addressToBinary(parseAddress(address, name), name);
}

function textOf(binary: Uint8Array): string {
  const address = addressFromBinary(binary);
  return address === undefined ? '' : formatAddress(address);
}
