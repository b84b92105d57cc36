// What the gateway of hawser.config.js does.

import { Device } from 'hawser/interaction';

/** @type {NonNullable<import('hawser/gateway').GatewayHandlers['setup']>} */
export const setup = (server, { listener, log }) => {
  if (listener !== 'chat') return;
  server.on('connect', (peer) => log.info({ client: String(peer.clientId) }, 'somebody joined'));
  server.on('message', (_peer, value, channel) => server.broadcast(channel, value));
};

/** One value that everybody may read and write: attribute 1. */
const values = new Map([[1, 20]]);
const device = new Device({
  handlers: {
    read: () => values,
    write: (request) => {
      const value = request.values.get(1);
      if (typeof value === 'number') values.set(1, value);
      return undefined;
    },
  },
});

/** @type {NonNullable<import('hawser/gateway').GatewayHandlers['interaction']>} */
export const interaction = (connection) => device.accept(connection);

/** @type {NonNullable<import('hawser/gateway').GatewayHandlers['onRequest']>} */
export const onRequest = ({ payload }) => ({ result: payload });
