// A capture of what a running gateway receives and sends, as pcapng.

/** What is captured. */
export interface CaptureOptions {
  /** The name of a listener; all by default. */
  readonly listener?: string;
  /** Only what comes from or goes to this address of a peer: an IP address for all its ports, or `host:port`. */
  readonly address?: string;
  /** Also the decrypted packets of HAWSER sessions. Whoever reads the capture reads all that the peers say. False by default. */
  readonly plaintext?: boolean;
  /** At most so many bytes of each datagram, 64 to 65,535; all by default. */
  readonly snapLengthBytes?: number;
}

/**
 * A capture under way: blocks of a pcapng file, in order, each piece made of whole ones, to be read once. It ends by itself when the gateway
 * stops, and when it is disposed of or nobody reads on; its last block says how much was seen and dropped.
 */
export interface Capture extends AsyncIterable<Uint8Array>, Disposable {
  /** Datagrams, and with `plaintext` packets, that were left out because they came faster than the reader took them. */
  readonly dropped: number;
}
