// Every layer but keys: `npx hawser gateway` in this directory, or `npx hawser gateway --config FILE`. It needs the package lmdb.

import { defineConfig } from 'hawser/gateway';

export default defineConfig({
  name: 'example',
  // Without keys one is made for the run: clients get their tokens from the endpoint below.
  listeners: [
    {
      name: 'chat',
      address: '127.0.0.1:4433',
      layers: ['messages'],
      channels: { chat: { mode: 'reliable', codec: 'text' } },
    },
    { name: 'devices', address: '127.0.0.1:4434', layers: ['interaction'] },
    { name: 'agents', address: '127.0.0.1:4435', layers: ['sync'] },
    { name: 'clients', address: '127.0.0.1:4436', layers: ['sessions'] },
  ],
  handlers: './handlers.js',
  limits: { maxPeers: 10_000 },
  sync: { store: './data/sync' },
  sessions: { store: 'lmdb:./data/sessions' },
  tokens: true,
  drain: { deadlineMs: 5000 },
});
