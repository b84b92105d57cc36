// A gateway that is given a logger of pino writes to that, and to nothing else.

import pino from 'pino';
import { expect, test } from 'vitest';
import { formatKey } from '../../../src/token/server-key.js';
import { connect } from '../../../src/transport/client.js';
import { key, openTest, tokenFor } from '../support.js';

test('a logger of pino has what happens in a gateway, with its own name and level', async () => {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = pino({ level: 'debug', name: 'of the application', base: { app: 'x' } }, destination);
  const gateway = await openTest({ name: 'north', keys: [formatKey(key)], log: { logger } });
  const client = await connect(await tokenFor(gateway, 'udp', { clientId: 42n }));
  await client.close();
  await gateway.drain();
  // What had to wait may have been sent twice, and then the second is dropped.
  const told = lines.filter(({ msg }) => msg !== 'dropped').map(({ level, msg }) => `${level} ${msg}`);
  expect(told.filter((each) => each.startsWith('30 '))).toEqual(
    ['running', 'draining', 'drained', 'stopped'].map((state) => `30 ${state}`),
  );
  expect(told).toContain('20 peer connected');
  expect(lines.find(({ msg }) => msg === 'peer connected')).toMatchObject({
    app: 'x',
    name: 'of the application',
    clientId: '42',
  });
});
