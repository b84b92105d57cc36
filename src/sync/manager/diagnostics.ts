// What a manager tells of itself on node:diagnostics_channel: which sessions begin and end.

import { type TypedChannel, typedChannel } from '../../base/diagnostics.js';
import type { SessionEnded, SessionStarted } from './events.js';

/** The names of the channels of a manager. */
export const channelNames = {
  start: 'hawser:sync.start',
  end: 'hawser:sync.end',
} as const;

export const diagnostics: {
  readonly start: TypedChannel<SessionStarted>;
  readonly end: TypedChannel<SessionEnded>;
} = {
  start: typedChannel(channelNames.start),
  end: typedChannel(channelNames.end),
};
