// Datagrams, from anybody: what is signed by a known peer goes to it, the rest is counted.

import { TokenBucket } from '../../base/token-bucket.js';
import type { DatagramReceiver } from '../links/udp-socket.js';
import type { Envelope, Opened, Refused } from '../wire/envelope.js';
import type { SaeWire } from '../wire/wire-name.js';
import { diagnostics } from './diagnostics.js';
import { DropCounter } from './drop-counter.js';
import type { Rejection } from './events.js';
import type { PeerDriver } from './peer-driver.js';

export interface DatagramsParts {
  readonly saeId: string;
  readonly peers: ReadonlyMap<string, PeerDriver>;
  readonly envelopes: (wire: SaeWire) => Envelope | undefined;
  readonly monotonicMs: () => number;
  readonly rejected: (rejection: Rejection) => void;
}

/** Datagrams of a second whose signatures are checked: for each address of a peer, and for all others together. */
const perHost = 400;

/** The original's envelope is a JSON object. */
const brace = 0x7b;

/**
 * A signature has to be checked before anything is known, and that costs time: so the addresses that peers have share nothing with the rest
 * of the world. Who writes a peer's address into its own datagrams can use up its share; then a session takes longer.
 */
export class Datagrams implements DatagramReceiver {
  readonly #parts: DatagramsParts;
  readonly #hosts = new Map<string, TokenBucket>();
  readonly #others: TokenBucket;
  readonly #drops = new DropCounter();

  constructor(parts: DatagramsParts) {
    this.#parts = parts;
    this.#others = this.#bucket();
  }

  get drops(): DropCounter {
    return this.#drops;
  }

  /** The addresses of peers; called when they change. */
  setHosts(hosts: ReadonlySet<string>): void {
    for (const host of this.#hosts.keys()) if (!hosts.has(host)) this.#hosts.delete(host);
    for (const host of hosts) if (!this.#hosts.has(host)) this.#hosts.set(host, this.#bucket());
  }

  tooLong(): void {
    this.#drops.count('too_long');
  }

  datagram(bytes: Uint8Array, host: string): void {
    const bucket = this.#hosts.get(host) ?? this.#others;
    const wire = bytes[0] === brace ? 'sae-json' : 'hawser';
    const envelope = this.#parts.envelopes(wire);
    if (!bucket.take(1, this.#parts.monotonicMs())) this.#drops.count('too_many');
    else if (envelope === undefined) this.#drops.count('unknown_peer');
    else this.#opened(envelope.open(bytes), wire);
  }

  #opened(opened: Opened | Refused, wire: SaeWire): void {
    const peer = this.#peerOf(opened.senderSaeId, wire);
    if ('refused' in opened) {
      if (peer !== undefined) peer.receiveRefused(opened);
      else this.#refuse(opened.refused, opened.reason);
    } else if (peer !== undefined) peer.receiveOpened(opened);
    else this.#refuse('unknown_peer', 'its sender has no address');
  }

  /** A peer without an address comes by connections only: what is signed by it may have been copied from one. */
  #peerOf(saeId: string | undefined, wire: SaeWire): PeerDriver | undefined {
    const peer = saeId === undefined ? undefined : this.#parts.peers.get(saeId);
    return peer?.settings.wire === wire && peer.settings.address !== undefined ? peer : undefined;
  }

  #refuse(code: Rejection['code'], reason: string): void {
    this.#drops.count(code);
    const rejection = { peerSaeId: undefined, code, messageType: undefined, sessionId: undefined, reason };
    if (diagnostics.rejected.hasSubscribers) {
      diagnostics.rejected.publish({ saeId: this.#parts.saeId, ...rejection });
    }
    this.#parts.rejected(rejection);
  }

  #bucket(): TokenBucket {
    return new TokenBucket(perHost, perHost, this.#parts.monotonicMs());
  }
}
