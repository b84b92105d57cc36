// Answers that are kept, so that a message that comes again gets the same one.

import type { Unstamped } from '../wire/messages.js';
import type { Session } from './session.js';

/** More than the rounds of any session need; a master that asks without end pushes out its own first ones. */
const mostReplies = 16;

/** @param messageId of the message that is answered: a UUID. */
export function withReply(session: Session, messageId: string, reply: Unstamped): Session['replies'] {
  const kept = Object.entries(session.replies).slice(1 - mostReplies);
  return Object.fromEntries([...kept, [messageId, reply]]);
}
