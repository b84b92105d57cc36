// Channels of the attacked gateway and its honest peers.

import { bytes, reliable, unreliable } from 'hawser';

export const channels = {
  chat: reliable(bytes(), { maxMessageBytes: 65_536 }),
  state: unreliable(bytes()),
  feed: reliable(bytes(), { maxMessageBytes: 1_048_576 }),
};
