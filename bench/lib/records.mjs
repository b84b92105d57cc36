// Messages over a stream of bytes, for the rivals that have no messages: two bytes of length, little-endian, and the message.

/** Of the length before each message. */
export const headerBytes = 2;

/** Of a message. */
export const maxRecordBytes = 0xffff;

/**
 * Writes the header and the message.
 *
 * @param {Uint8Array} chunk with room for both
 * @param {number} at where the header begins
 * @param {Uint8Array} data up to `maxRecordBytes`
 * @returns {number} where the next record begins
 */
export function putRecord(chunk, at, data) {
  chunk[at] = data.length & 0xff;
  chunk[at + 1] = data.length >> 8;
  chunk.set(data, at + headerBytes);
  return at + headerBytes + data.length;
}

/** Finds the messages in the chunks of a stream, wherever these are cut. */
export class RecordReader {
  /** Of a record whose end has not come yet. @type {Buffer} */
  #rest = Buffer.alloc(0);
  #onRecord;

  /** @param {(data: Uint8Array) => void} onRecord its argument is valid during the callback */
  constructor(onRecord) {
    this.#onRecord = onRecord;
  }

  /** @param {Buffer} chunk the next bytes of the stream; not changed and kept until the next call */
  read(chunk) {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + headerBytes <= data.length) {
      const begin = at + headerBytes;
      const end = begin + ((data[at] ?? 0) | ((data[at + 1] ?? 0) << 8));
      if (end > data.length) break;
      this.#onRecord(data.subarray(begin, end));
      at = end;
    }
    this.#rest = data.subarray(at);
  }
}

/** Gathers small messages into chunks: one write for each chunk, and one at the end of a turn for what is left. */
export class RecordWriter {
  #chunkBytes;
  #write;
  /** @type {Buffer | undefined} */
  #chunk;
  #used = 0;

  /**
   * @param {number} chunkBytes messages that are not smaller than a chunk become one of their own
   * @param {(chunk: Buffer) => boolean} write keeps the chunk; whether to go on
   */
  constructor(chunkBytes, write) {
    this.#chunkBytes = chunkBytes;
    this.#write = write;
  }

  /**
   * @param {Uint8Array} data up to `maxRecordBytes`; copied
   * @returns {boolean} whether to go on
   */
  send(data) {
    const recordBytes = headerBytes + data.length;
    let goOn = true;
    if (this.#chunk !== undefined && this.#used + recordBytes > this.#chunk.length) goOn = this.#flush();
    if (this.#chunk === undefined) {
      this.#chunk = Buffer.allocUnsafe(Math.max(this.#chunkBytes, recordBytes));
      if (this.#chunk.length > recordBytes) process.nextTick(() => this.#flush());
    }
    this.#used = putRecord(this.#chunk, this.#used, data);
    return this.#used < this.#chunk.length ? goOn : this.#flush() && goOn;
  }

  /** @returns {boolean} whether to go on */
  #flush() {
    if (this.#chunk === undefined) return true;
    const full = this.#chunk.subarray(0, this.#used);
    this.#chunk = undefined;
    this.#used = 0;
    return this.#write(full);
  }
}
