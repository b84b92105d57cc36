// A stream of numbered messages from one process to another with as many on their way as a window allows: what both sides of the
// rows with such a stream agree on. A message begins with its u32 number; an acknowledgement is the u32 count of messages up to the
// newest that arrived. What is missing below it was lost, so that a loss never stops the stream. Reliable drivers have an infinite
// window: nothing is acknowledged here, and the sender waits for their `drain` alone.

/** An acknowledgement for each eighth of the window. */
export const acknowledgementsPerWindow = 8;

/** Without progress for so long, all that is on its way counts as lost. */
const stallMs = 1000;

export class StreamReceiver {
  received = 0;
  /** Messages that did not follow the one before: each begins a gap, or goes back. */
  misplaced = 0;
  #newest = 0;
  #sinceAck = 0;
  /** So that nothing of a message can be left unread. */
  #checksum = 0;
  #ackEvery;
  #send;
  #ack = new Uint8Array(4);
  #ackView = new DataView(this.#ack.buffer);

  /**
   * @param {number} window messages; may be Infinity
   * @param {(acknowledgement: Uint8Array) => void} send
   */
  constructor(window, send) {
    this.#ackEvery = Math.max(1, Math.floor(window / acknowledgementsPerWindow));
    this.#send = send;
  }

  /** @param {Uint8Array} data a message */
  receive(data) {
    const number = readU32(data);
    this.#checksum ^= data[data.length - 1] ?? 0;
    ++this.received;
    if (number !== this.#newest) ++this.misplaced;
    if (number >= this.#newest) this.#newest = number + 1;
    if (++this.#sinceAck < this.#ackEvery) return;
    this.#sinceAck = 0;
    this.#ackView.setUint32(0, this.#newest, true);
    this.#send(this.#ack);
  }
}

export class StreamSender {
  sent = 0;
  stalls = 0;
  #acknowledged = 0;
  #stopped = true;
  #window;
  #send;
  #message;
  #words;
  #seen = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  /**
   * @param {number} window messages; may be Infinity
   * @param {number} messageBytes at least 4
   * @param {(message: Uint8Array) => boolean} send whether to go on
   */
  constructor(window, messageBytes, send) {
    this.#window = window;
    this.#send = send;
    this.#message = new Uint8Array(messageBytes).fill(0x5a);
    this.#words = new DataView(this.#message.buffer);
  }

  start() {
    this.#stopped = false;
    if (Number.isFinite(this.#window)) this.#timer = setInterval(() => this.#watch(), stallMs);
    this.fill();
  }

  /** Sends nothing more. */
  stop() {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  /** Sends as much as the window and the way out allow; to be called again on `drain`. */
  fill() {
    if (this.#stopped) return;
    const end = this.#acknowledged + this.#window;
    while (this.sent < end) {
      this.#words.setUint32(0, this.sent, true);
      ++this.sent;
      if (!this.#send(this.#message)) return;
    }
  }

  /** @param {Uint8Array} data an acknowledgement */
  acknowledge(data) {
    this.#acknowledged = Math.max(this.#acknowledged, readU32(data));
    this.fill();
  }

  #watch() {
    if (this.#acknowledged === this.#seen && this.sent > this.#acknowledged) {
      ++this.stalls;
      this.#acknowledged = this.sent;
      this.fill();
    }
    this.#seen = this.#acknowledged;
  }
}

/**
 * @param {Uint8Array} data at least 4 bytes
 * @returns {number}
 */
function readU32(data) {
  return ((data[0] ?? 0) | ((data[1] ?? 0) << 8) | ((data[2] ?? 0) << 16) | ((data[3] ?? 0) << 24)) >>> 0;
}
