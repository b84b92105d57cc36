// What a gateway has to know of each of its layers.

import type { ChannelMap } from '../../transport/channels.js';
import type { Server } from '../../transport/server.js';
import type { GatewayHandlers } from '../handlers.js';
import type { Logger } from '../log/logger.js';

/** A layer that is open: its store is, and it serves the listeners that it was given. */
export interface Layer {
  /** Speaks with the peers of a listener from now on. Called at once when that is bound: before anybody can have connected. */
  serve(server: Server<ChannelMap>): void;
  /** Begins nothing new, and resolves once what is under way is over, which the caller may not wait for. */
  drain(): Promise<void>;
  /** Ends at once, and closes what it has opened. */
  close(): Promise<void>;
}

/** What layers are opened with. */
export interface LayerContext {
  readonly handlers: GatewayHandlers;
  readonly log: Logger;
}
