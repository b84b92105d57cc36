// What each contender does of what hawser does, for the rows to print beside the figures.

/** @typedef {import('../rows/row.mjs').Does} Does */

/** By driver. */
const drivers = {
  hawser: {
    encrypted: true,
    reliable: false,
    note: 'XChaCha20-Poly1305; the messages of one turn share datagrams, of 1,472 bytes at most',
  },
  'hawser-reliable': {
    encrypted: true,
    reliable: true,
    note: 'XChaCha20-Poly1305; a reliable, ordered channel, datagrams of 1,472 bytes at most',
  },
  dgram: { encrypted: false, reliable: false, note: 'node:dgram, a datagram for each message' },
  'dgram-crypto': {
    encrypted: true,
    reliable: false,
    note: 'node:dgram and ChaCha20-Poly1305 of node:crypto, a datagram for each message; no handshake, no replay window',
  },
  'dgram-sodium': {
    encrypted: true,
    reliable: false,
    note: 'node:dgram and XChaCha20-Poly1305 of libsodium-wrappers, a datagram for each message; no handshake, no replay window',
  },
  'udx-raw': {
    encrypted: false,
    reliable: false,
    note: 'the socket of udx-native, a datagram for each message',
  },
  'udx-stream': {
    encrypted: false,
    reliable: true,
    note: 'a stream of udx-native, in which messages are framed in JavaScript, gathered into writes of 64 KiB',
  },
  'node-datachannel': {
    encrypted: true,
    reliable: true,
    note: 'WebRTC: a reliable, ordered data channel over DTLS, on threads of its own',
  },
  'node-datachannel-unreliable': {
    encrypted: true,
    reliable: false,
    note: 'WebRTC: an unordered data channel without retransmission over DTLS, on threads of its own',
  },
  tcp: {
    encrypted: false,
    reliable: true,
    note: 'TCP of the kernel through node:net, without TLS; messages are framed in JavaScript, gathered into writes of 64 KiB',
  },
  quic: {
    encrypted: true,
    reliable: true,
    note: 'QUIC of @matrixai/quic (quiche): one stream, in which messages are framed in JavaScript, gathered into writes of 64 KiB',
  },
  ws: {
    encrypted: false,
    reliable: true,
    note: 'WebSocket over TCP on loopback, without TLS; many messages share a segment',
  },
  'requests-hawser': {
    encrypted: true,
    reliable: true,
    note: '`Device` and `InteractionConnection` over a reliable, ordered channel; XChaCha20-Poly1305',
  },
  'requests-pipe': {
    encrypted: false,
    reliable: true,
    note: '`Device` and `InteractionConnection` without a transport: messages are handed over in memory',
  },
  'requests-ws': {
    encrypted: false,
    reliable: true,
    note: 'JSON over WebSockets over TCP on loopback, without TLS; the requests of one turn in one write',
  },
  'requests-net': {
    encrypted: false,
    reliable: true,
    note: 'JSON with its length in front, over TCP on loopback, without TLS; the requests of one turn in one write',
  },
};

/** Which driver each contender has in the rows with unreliable messages of one peer. */
export const unreliableDrivers = /** @type {const} */ ({
  hawser: 'hawser',
  dgram: 'dgram',
  'dgram-crypto': 'dgram-crypto',
  'dgram-sodium': 'dgram-sodium',
  'udx-raw': 'udx-raw',
  'udx-stream': 'udx-stream',
  'node-datachannel': 'node-datachannel-unreliable',
  ws: 'ws',
});

/** The rivals in these. */
export const unreliableRivals = Object.keys(unreliableDrivers).filter((contender) => contender !== 'hawser');

/**
 * @param {Readonly<Record<string, keyof typeof drivers>>} byContender which driver each contender of a row has
 * @param {Readonly<Record<string, Does>>} [others] those without a driver
 * @returns {Record<string, Does>} as rows have it
 */
export function does(byContender, others = {}) {
  const driven = Object.entries(byContender).map(([contender, driver]) => [contender, drivers[driver]]);
  return { ...Object.fromEntries(driven), ...others };
}
