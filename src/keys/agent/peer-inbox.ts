// What comes from one peer, or says that it does: only what is signed, new and of this time gets to the sessions.

import { randomUUID } from 'node:crypto';
import { TokenBucket } from '../../base/token-bucket.js';
import type { Session } from '../protocol/session.js';
import type { ClockDifference } from '../protocol/steps.js';
import type { Envelope, Opened, Refused } from '../wire/envelope.js';
import {
  type ErrorCode,
  type ErrorMessage,
  type Message,
  messageLimits,
  type Unstamped,
} from '../wire/messages.js';
import { ReplayWindow } from '../wire/replay-window.js';
import type { ClockDifferenceEstimate } from './clock-difference.js';
import type { DropCounter } from './drop-counter.js';
import type { Rejection } from './events.js';
import type { PeerClock } from './peer-clock.js';
import type { PeerSettings } from './peer-options.js';

export interface PeerInboxParts {
  readonly settings: PeerSettings;
  readonly envelope: Envelope;
  readonly clock: PeerClock;
  readonly estimate: ClockDifferenceEstimate;
  readonly drops: DropCounter;
  /** Of the monotonic clock, for rates. */
  readonly monotonicMs: () => number;
  /** Of the store: nothing up to it is taken. */
  readonly receivedSequence: bigint;
  /** The session that is under way. */
  readonly active: () => Session | undefined;
  /** @returns whether there was room for it. */
  readonly push: (message: Message, clock: ClockDifference | undefined) => boolean;
  readonly answer: (error: Unstamped<ErrorMessage>) => void;
  readonly rejected: (rejection: Rejection) => void;
}

/** By how much the time of a message may differ from ours: over HAWSER's envelope, and over that of the original. */
const maxAgeMs = { hawser: 60_000, 'sae-json': 3_600_000 } as const;

/** So many messages may come at once, however few a second. */
const leastBurst = 16;

export class PeerInbox {
  readonly #parts: PeerInboxParts;
  readonly #window: ReplayWindow;
  readonly #pace: TokenBucket;
  readonly #errors: TokenBucket;
  #received = 0;

  constructor(parts: PeerInboxParts) {
    this.#parts = parts;
    this.#window = new ReplayWindow(parts.receivedSequence);
    const { messagesPerSecond, errorsPerSecond } = parts.settings;
    const nowMs = parts.monotonicMs();
    this.#pace = new TokenBucket(messagesPerSecond, Math.max(leastBurst, messagesPerSecond), nowMs);
    this.#errors = new TokenBucket(errorsPerSecond, Math.max(1, errorsPerSecond), nowMs);
  }

  /** Messages that got to the sessions. */
  get received(): number {
    return this.#received;
  }

  /** What is not to be taken after a restart: goes into the store with each change. */
  get receivedSequence(): bigint {
    return this.#window.highest;
  }

  /** Something came by a connection of the peer. */
  receive(bytes: Uint8Array): void {
    const { drops, envelope, settings } = this.#parts;
    // Before anything is looked at: to check a signature costs more than to make many messages.
    if (bytes.length > messageLimits.bytes) drops.count('too_long');
    else if (!this.#pace.take(1, this.#parts.monotonicMs())) drops.count('too_many');
    else {
      const opened = envelope.open(bytes);
      if ('refused' in opened) this.refuse(opened);
      else if (opened.senderSaeId !== settings.peerSaeId) drops.count('foreign');
      else this.#take(opened);
    }
  }

  /** A datagram has come whose signature is that of the peer. */
  receiveOpened(opened: Opened): void {
    if (this.#pace.take(1, this.#parts.monotonicMs())) this.#take(opened);
    else this.#parts.drops.count('too_many');
  }

  /** Nothing came out of an envelope. A sender whose signature is good is told why. */
  refuse({ refused, reason, senderSaeId, sessionId, originalMessageId }: Refused): void {
    const { drops, settings } = this.#parts;
    drops.count(refused);
    this.#tell(refused, undefined, sessionId, reason);
    if (senderSaeId !== settings.peerSaeId || sessionId === undefined) return;
    const { saeId, peerSaeId } = settings;
    const active = this.#parts.active();
    const own = active?.sessionId === sessionId ? active.role : settings.role;
    const [master_sae_id, slave_sae_id] = own === 'master' ? [saeId, peerSaeId] : [peerSaeId, saeId];
    this.#answer(refused, reason, {
      session_id: sessionId,
      master_sae_id,
      slave_sae_id,
      original_message_id: originalMessageId ?? null,
    });
  }

  #take({ message, sequence, stamps }: Opened): void {
    const { clock, drops, estimate, settings } = this.#parts;
    // A copy that a network made is nothing to talk about, nor is one that somebody kept.
    if (sequence !== undefined && !this.#window.take(sequence)) {
      const reason = `the sequence ${sequence} was taken, or is older than those that are kept`;
      this.#drop('replay', message, reason);
      return;
    }
    if (this.#parts.active() === undefined) {
      const stepped = clock.anchor();
      // What was measured before the other side's last session says nothing of its clock now.
      if (stepped || message.message_type === 'key_notification') estimate.reset();
    }
    const nowMs = clock.nowMs();
    if (Math.abs(message.timestamp * 1000 - nowMs) > maxAgeMs[settings.wire]) {
      const reason = `its time is ${message.timestamp}, and it is ${Math.floor(nowMs / 1000)} here`;
      this.#drop('stale_timestamp', message, reason);
      if (message.message_type !== 'error') this.#answer('stale_timestamp', reason, aboutOf(message));
      return;
    }
    if (stamps !== undefined) estimate.receive(stamps, nowMs);
    if (this.#parts.push(message, stamps === undefined ? undefined : estimate.current(nowMs))) {
      ++this.#received;
    } else drops.count('busy');
  }

  #drop(code: ErrorCode, message: Message, reason: string): void {
    this.#parts.drops.count(code);
    this.#tell(code, message.message_type, message.session_id, reason);
  }

  #tell(
    code: ErrorCode,
    messageType: string | undefined,
    sessionId: string | undefined,
    reason: string,
  ): void {
    const { peerSaeId } = this.#parts.settings;
    this.#parts.rejected({ peerSaeId, code, messageType, sessionId, reason });
  }

  #answer(code: ErrorCode, reason: string, about: About): void {
    if (!this.#errors.take(1, this.#parts.monotonicMs())) return;
    this.#parts.answer({
      message_type: 'error',
      message_id: randomUUID(),
      ...about,
      error_code: code,
      error_message: reason,
      details: null,
    });
  }
}

type About = Pick<ErrorMessage, 'session_id' | 'master_sae_id' | 'slave_sae_id' | 'original_message_id'>;

function aboutOf({ session_id, master_sae_id, slave_sae_id, message_id }: Message): About {
  return { session_id, master_sae_id, slave_sae_id, original_message_id: message_id };
}
