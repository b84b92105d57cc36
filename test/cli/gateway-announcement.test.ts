// What `hawser gateway` prints when a configuration gives it more than its options could.

import { expect, test, vi } from 'vitest';
import { announce } from '../../src/cli/gateway-announcement.js';
import { openTest } from '../gateway/support.js';

test('of several listeners each has its name and its layers, and nothing is said of options that there are not', async () => {
  await using gateway = await openTest({
    listeners: [
      { name: 'chat', address: '127.0.0.1:0' },
      { name: 'clients', address: '127.0.0.1:0', layers: ['sessions'] },
    ],
  });
  const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  let text: string;
  try {
    announce(gateway, { madeKey: undefined, simulate: undefined });
    text = written.mock.calls.map(([line]) => line).join('');
  } finally {
    written.mockRestore();
  }
  expect(text).toMatch(/^gateway {2}chat: udp 127\.0\.0\.1:\d+, .*\nlayers {3}messages\n/);
  expect(text).toMatch(/\ngateway {2}clients: udp 127\.0\.0\.1:\d+, .*\nlayers {3}sessions\n/);
  expect(text).toContain('\ntokens   no endpoint\n');
});
