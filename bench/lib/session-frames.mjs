// Frames of the session protocol for programs that speak it by themselves (docs/conformance/sessions.md, "Wire").

const head = Buffer.from('zraft\x01', 'latin1');
const typeAt = head.length;
const timestampAt = typeAt + 1;
const clientTypes = { createSession: 1, keepAlive: 3 };
const serverTypes = { sessionCreated: 1, keepAliveResponse: 5 };

/** CreateSession with the capability bench=1 and the nonce 1. */
export const createFrame = Buffer.concat([
  head,
  Buffer.from([clientTypes.createSession, 0, 1, 0, 5]),
  Buffer.from('bench'),
  Buffer.from([0, 1]),
  Buffer.from('1'),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]),
]);

const keepAlive = Buffer.concat([head, Buffer.from([clientTypes.keepAlive]), Buffer.alloc(8)]);

/**
 * @param {number} timestamp Unix milliseconds
 * @returns {Uint8Array} a view that is good until the next call
 */
export function keepAliveFrame(timestamp) {
  keepAlive.writeBigInt64BE(BigInt(timestamp), timestampAt);
  return keepAlive;
}

/** @param {Uint8Array} frame */
export function isSessionCreated(frame) {
  return frame[typeAt] === serverTypes.sessionCreated;
}

/** @param {Uint8Array} frame @returns {number} the timestamp of a KeepAliveResponse; NaN of any other frame */
export function answeredTimestamp(frame) {
  if (frame[typeAt] !== serverTypes.keepAliveResponse) return Number.NaN;
  return Number(Buffer.from(frame.buffer, frame.byteOffset, frame.length).readBigInt64BE(timestampAt));
}
