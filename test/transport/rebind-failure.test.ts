import { expect, test, vi } from 'vitest';
import { Client } from '../../src/index.js';
import { failure, fakeAddon } from './fake-addon.js';

vi.mock('../../src/transport/native.js', async (original) => ({
  ...(await original()),
  loadAddon: () => fakeAddon(),
}));

test('a rebind that the system refuses says why, and the client goes on as before', async () => {
  const client = await Client.open({ address: '127.0.0.1:5' });
  const before = client.address;
  for (const [code, ours] of [
    ['EMFILE', 'ERR_HAWSER_TOO_MANY_FILES'],
    ['EADDRNOTAVAIL', 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE'],
    ['ENETDOWN', 'ERR_HAWSER_SYSTEM'],
  ] as const) {
    failure.code = code;
    expect(() => client.rebind()).toThrow(expect.objectContaining({ code: ours }));
    expect(client.address).toBe(before);
    expect(client.state).toBe('RUNNING');
  }
  client.rebind();
});
