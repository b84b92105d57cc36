// What a step sends: what the transition says, and the ERROR that refuses a message, held to a rate.

import { TokenBucket } from '../../base/token-bucket.js';
import type { Unstamped } from '../wire/messages.js';
import type { Draft } from './draft.js';
import { refusalOf } from './outgoing.js';
import type { Context } from './transition.js';

/** Of one peer. */
export class Answers {
  #errors: TokenBucket | undefined;

  /** @param isDecision whether something is kept with the step: then its messages speak of a decision, and are never held back. */
  of({ transition = {}, message, refusedKeyIds }: Draft, isDecision: boolean, context: Context): Unstamped[] {
    const send = (transition.send ?? []).filter((sent) => isDecision || this.#may(sent, context));
    const { refused } = transition;
    if (refused === undefined || message === undefined || !refused.answer) return send;
    const details = refusedKeyIds === undefined ? null : { key_ids: refusedKeyIds };
    const answer = refusalOf(message, refused.code, refused.reason, context.newId, details);
    return this.#may(answer, context) ? [...send, answer] : send;
  }

  /** The clock was set back: the rate begins anew. */
  setBack(): void {
    this.#errors = undefined;
  }

  #may(message: Unstamped, { settings, nowMs }: Context): boolean {
    // What is asked again until it is answered is paced by that.
    if (message.message_type !== 'error' || message.details?.roll_back === true) return true;
    const { errorsPerSecond } = settings;
    this.#errors ??= new TokenBucket(errorsPerSecond, Math.max(1, errorsPerSecond), nowMs);
    return this.#errors.take(1, nowMs);
  }
}
