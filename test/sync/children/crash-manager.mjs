// A manager in a process of its own, to be killed.
//
// Argument: JSON {store, address, key}, the key as hex; on standard output a line of JSON for each event.

import { writeSync } from 'node:fs';
import { Server } from 'hawser';
import { openStore, SyncManager, serveSync, syncChannels } from 'hawser/sync';

const { store: path, address, key } = JSON.parse(process.argv[2] ?? '{}');
/** Written at once: what was said is not lost when the process is killed. @param {object} event */
const say = (event) => writeSync(1, `${JSON.stringify(event)}\n`);

const manager = new SyncManager({ store: await openStore(path) });
manager.on('sessionStart', () => say({ mark: 'session' }));
manager.on('progress', () => say({ mark: 'progress' }));
manager.on('sessionEnd', ({ status }) => say({ mark: 'sessionEnd', status }));
manager.on('log', (level, code, message) => {
  if (level === 'error') say({ error: `${code}: ${message}` });
});
const server = await Server.listen({
  address,
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  // Whoever knew its predecessor hears at once that it is gone.
  resetKey: Buffer.from(key, 'hex'),
  channels: syncChannels,
});
serveSync(server, manager);
say({ address: server.address });
