// A composed gateway with every layer on. Configuration: see `Configuration`.
import { join } from 'node:path';
import { openGateway } from '../../dist/gateway/index.js';
import { driverOptions, protocolId } from '../lib/hawser.mjs';
import { Device, thermometer } from '../lib/interaction.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} folder for its stores and sockets
 * @property {string} key in its text form
 * @property {number} peers
 * @property {Record<string, unknown>} sae the section of that name
 */

/** For clients that look whether it answers, beside the peers. */
const more = 16;
const loopback = '127.0.0.1:0';

const { folder, key, peers, sae } = /** @type {Configuration} */ (configuration());
const device = new Device({ handlers: thermometer() });
const gateway = await openGateway({
  protocolId,
  keys: [key],
  listeners: [
    {
      name: 'clients',
      address: loopback,
      layers: ['messages', 'interaction', 'sync', 'sessions'],
      ...driverOptions(),
    },
    { name: 'saes', address: loopback, layers: ['keys'] },
  ],
  handlers: { interaction: (connection) => device.accept(connection) },
  limits: { maxPeers: peers + more },
  sync: { store: join(folder, 'sync') },
  sessions: { store: `lmdb:${join(folder, 'sessions')}` },
  sae,
  admin: { address: loopback },
  metrics: { address: loopback },
  control: join(folder, 'g.sock'),
  log: { level: 'warn' },
});
const servers = new Map(gateway.servers.map(({ name, server }) => [name, server]));
const clients = servers.get('clients');
if (clients === undefined) throw new Error('the listener is not there');

serve({
  places: () => ({ clients: clients.address, saes: servers.get('saes')?.address, ...gateway.urls }),
  mark: () => {
    const { layers } = gateway.snapshot();
    return {
      ...processMark(),
      peers: clients.peers.size,
      sessions: layers.sessions?.sessions ?? 0,
      connections: layers.interaction?.connections ?? 0,
      peakBytes: process.resourceUsage().maxRSS * 1024,
      heapBytes: process.memoryUsage().heapUsed,
      nativeBytes: clients.memoryBytes,
    };
  },
  unsettled: () => [...clients.peers].filter(({ clockSettled }) => !clockSettled).length,
});
