// What is told of a step.

import type { Draft } from './draft.js';
import type { ProtocolEvent } from './steps.js';

/** The refusal, the transitions and the end, in their order. */
export function eventsOf({ before, transition = {}, message, events: others = [] }: Draft): ProtocolEvent[] {
  const { session, refused, via, cause = '' } = transition;
  const events: ProtocolEvent[] = [];
  if (refused !== undefined && message !== undefined)
    events.push({
      type: 'rejected',
      code: refused.code,
      messageType: message.message_type,
      sessionId: message.session_id,
      reason: refused.reason,
    });
  const from = before?.state ?? 'IDLE';
  if (session !== undefined) {
    if (via !== undefined)
      events.push({ type: 'transition', session: { ...session, state: via }, from, cause });
    if (session.state !== from || via !== undefined)
      events.push({ type: 'transition', session, from: via ?? from, cause });
    if (session.outcome !== null && (before?.outcome ?? null) === null)
      events.push({ type: 'ended', session, outcome: session.outcome });
  }
  return [...events, ...others];
}
