// Messages of the rows about paths: sent as fast as they are taken, or at a rate. A message begins with its number, u32, little-endian. If it is
// paced, the time at which it was sent follows. native/bench/path_transfer.hpp does the same for rivals in C.
import { sharedTimeMs } from './program.mjs';

/** Bytes of the messages of a transfer. */
export const messageBytes = 16 * 1024;

/** Offset of the time in a message: f64, as of `sharedTimeMs`. */
const sentAt = 8;

/** Shorter messages belong to no transfer: one of them shows the listening side that the other one is there. */
const leastBytes = 16;

/** The message that shows it. */
export const hello = new Uint8Array(4);

/** @param {number} bytes */
function newMessage(bytes) {
  const message = new Uint8Array(Math.max(bytes, leastBytes)).fill(0x5a);
  return { message, view: new DataView(message.buffer) };
}

export class TransferSender {
  #send;
  #left = 0;
  #number = 0;
  #outgoing = newMessage(messageBytes);

  /** @param {(message: Uint8Array) => boolean} send whether to go on; copies the message */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Sends `bytes` in whole messages. Call `fill` when there is room again.
   *
   * @param {number} bytes
   * @returns {{beganMs: number}}
   */
  start(bytes) {
    this.#left = Math.ceil(bytes / messageBytes);
    const beganMs = sharedTimeMs();
    this.fill();
    return { beganMs };
  }

  /** Sends as much as is taken. */
  fill() {
    while (this.#left > 0) {
      this.#outgoing.view.setUint32(0, this.#number++, true);
      --this.#left;
      if (!this.#send(this.#outgoing.message)) return;
    }
  }

  /**
   * Sends messages at a rate, whether or not there is room.
   *
   * @param {number} count
   * @param {number} bytes of each
   * @param {number} perSecond
   * @returns {{beganMs: number}}
   */
  pace(count, bytes, perSecond) {
    const { message, view } = newMessage(bytes);
    const beganMs = sharedTimeMs();
    let sent = 0;
    const next = () => {
      const nowMs = sharedTimeMs();
      while (sent < count && beganMs + (sent * 1000) / perSecond <= nowMs) {
        view.setUint32(0, this.#number++, true);
        view.setFloat64(sentAt, sharedTimeMs(), true);
        this.#send(message);
        ++sent;
      }
      if (sent < count) setTimeout(next, beganMs + (sent * 1000) / perSecond - sharedTimeMs());
    };
    next();
    return { beganMs };
  }
}

/**
 * @typedef {object} Received
 * @property {number} bytes
 * @property {number} misplaced messages that did not follow the one before
 * @property {number} endedMs when the last of the bytes came, or the time was up
 */

export class TransferReceiver {
  /** Resolves once anything has come. @type {Promise<void>} */
  heard;
  /** @type {() => void} */
  #onHeard = () => undefined;
  #bytes = 0;
  #misplaced = 0;
  #expected = 0;
  #lastMs = 0;
  /** @type {number[] | undefined} */
  #latenciesMs;
  #isComplete = () => false;
  /** @type {() => void} */
  #onComplete = () => undefined;

  constructor() {
    this.heard = new Promise((resolve) => {
      this.#onHeard = () => resolve();
    });
  }

  /** @param {Uint8Array} data a message */
  receive(data) {
    this.#onHeard();
    if (data.length < leastBytes) return;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const number = view.getUint32(0, true);
    if (number !== this.#expected) ++this.#misplaced;
    this.#expected = number + 1;
    this.#bytes += data.length;
    this.#lastMs = sharedTimeMs();
    this.#latenciesMs?.push(this.#lastMs - view.getFloat64(sentAt, true));
    if (this.#isComplete()) this.#onComplete();
  }

  /**
   * @param {number} bytes
   * @param {number} limitMs
   * @returns {Promise<Received>} what has come since this call, once it is all or the time is up
   */
  async bytes(bytes, limitMs) {
    this.#bytes = 0;
    const deadlineMs = sharedTimeMs() + limitMs;
    const complete = await this.#until(() => this.#bytes >= bytes, limitMs);
    return {
      bytes: this.#bytes,
      misplaced: this.#misplaced,
      endedMs: complete ? this.#lastMs : Math.max(deadlineMs, this.#lastMs),
    };
  }

  /**
   * @param {number} count
   * @param {number} limitMs
   * @returns {Promise<{misplaced: number, latenciesMs: number[]}>} of the messages that have come since this call, likewise
   */
  async latencies(count, limitMs) {
    /** @type {number[]} */
    const latenciesMs = [];
    this.#latenciesMs = latenciesMs;
    await this.#until(() => latenciesMs.length >= count, limitMs);
    return { misplaced: this.#misplaced, latenciesMs };
  }

  /**
   * @param {() => boolean} isComplete
   * @param {number} limitMs
   * @returns {Promise<boolean>} false when the time is up
   */
  #until(isComplete, limitMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), limitMs);
      this.#isComplete = isComplete;
      this.#onComplete = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}
