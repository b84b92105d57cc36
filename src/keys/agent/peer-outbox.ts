// What goes to one peer: stamped, numbered, sealed, and sent by the newest link.

import { HawserError } from '../../base/errors.js';
import type { Envelope } from '../wire/envelope.js';
import type { Message, Unstamped } from '../wire/messages.js';
import type { ClockDifferenceEstimate } from './clock-difference.js';
import type { PeerClock } from './peer-clock.js';
import type { PeerLinks } from './peer-links.js';

export interface PeerOutboxParts {
  readonly peerSaeId: string;
  readonly envelope: Envelope;
  readonly links: PeerLinks;
  readonly clock: PeerClock;
  readonly estimate: ClockDifferenceEstimate;
  /** Of the store. */
  readonly incarnation: number;
}

/** Of the sequence, below the incarnation. */
const counterBits = 32n;

export class PeerOutbox {
  readonly #parts: PeerOutboxParts;
  #sequence: bigint;
  #sent = 0;
  #unsent = 0;

  constructor(parts: PeerOutboxParts) {
    this.#parts = parts;
    this.#sequence = BigInt(parts.incarnation) << counterBits;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Messages for which there was no link, which it did not take, or that were too long. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Sends a copy of a message. What cannot be sent is lost, as on a network: the session that it is of ends as if it were. */
  send(message: Unstamped): void {
    const link = this.#parts.links.current;
    const bytes = link === undefined ? undefined : this.#seal(message);
    if (bytes !== undefined && link?.send(bytes) === true) ++this.#sent;
    else ++this.#unsent;
  }

  /** @returns undefined for one that is too long. */
  #seal(message: Unstamped): Uint8Array | undefined {
    const { peerSaeId, envelope, clock, estimate } = this.#parts;
    const nowMs = clock.nowMs();
    const sequence = ++this.#sequence;
    const facts = { recipientSaeId: peerSaeId, sequence, stamps: estimate.send(nowMs) };
    try {
      return envelope.seal(stamped(message, Math.floor(nowMs / 1000)), facts);
    } catch (error) {
      if (error instanceof HawserError && error.code === 'ERR_HAWSER_MESSAGE_TOO_LONG') return undefined;
      throw error;
    }
  }
}

function stamped(message: Unstamped, timestamp: number): Message {
  return { ...message, timestamp };
}
