// What carries a message: HAWSER's own envelope (envelope-hawser.ts) or that of the original (envelope-sae-json.ts).

import type { ErrorCode, Message } from './messages.js';

/** Times of HAWSER's envelope, in Unix milliseconds: the four of RFC 5905 section 8, spread over two messages. */
export interface Stamps {
  /** When this copy was sent, by the sender's clock. */
  readonly sentAtMs: number;
  /** Of the last message from the other side: its `sentAtMs`, and when it arrived here. Null before there was one. */
  readonly echo: { readonly sentAtMs: number; readonly receivedAtMs: number } | null;
}

/** A message whose signature is that of its sender's pinned key. */
export interface Opened {
  readonly message: Message;
  /** The SAE that signed it. */
  readonly senderSaeId: string;
  /** Grows with every copy that the sender sends to this SAE; undefined in the original's envelope. */
  readonly sequence: bigint | undefined;
  /** Undefined in the original's envelope. */
  readonly stamps: Stamps | undefined;
}

/** Why nothing came out of an envelope. */
export interface Refused {
  readonly refused: ErrorCode;
  /** For the log; nothing of the envelope is in it but what may be printed. */
  readonly reason: string;
  /** The SAE that it claims to come from, when that is a pinned one and the signature is not to blame: who may be answered. */
  readonly senderSaeId: string | undefined;
  /** Both where they could be read, and the signature is good; without a session nothing is answered, as it is of an ERROR. */
  readonly originalMessageId: string | undefined;
  readonly sessionId: string | undefined;
}

/** What {@link Envelope.seal} puts around a message, beyond it. */
export interface SealFacts {
  readonly recipientSaeId: string;
  readonly sequence: bigint;
  readonly stamps: Stamps;
}

/** One kind of envelope, for one SAE. */
export interface Envelope {
  /** @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG. */
  seal(message: Message, facts: SealFacts): Uint8Array;
  /** @param bytes from anybody. Never throws. */
  open(bytes: Uint8Array): Opened | Refused;
}
