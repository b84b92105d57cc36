// What a manager publishes on node:diagnostics_channel.

import { expect, test } from 'vitest';
import { listenTo } from '../../../src/base/diagnostics.js';
import { diagnostics } from '../../../src/sync/manager/diagnostics.js';
import { settled } from '../../interaction/virtual-time.js';
import { ManagerWorld } from './manager-world.js';

test('the channels tell of each session when it begins and when it ends, as the events do', async () => {
  const told: object[] = [];
  const ends = [diagnostics.start, diagnostics.end].map((channel) =>
    listenTo<object>(channel, (message) => told.push(message)),
  );
  const world = new ManagerWorld();
  const agent = world.agent('seven');
  const session = agent.begin({ size: 2n });
  agent.values(session, 0, 1);
  agent.end(session);
  await settled();
  for (const end of ends) end();
  expect(told).toEqual([...world.started, ...world.ended]);
  expect(told).toMatchObject([
    { agent: 'seven', size: 2, resumed: false },
    { agent: 'seven', size: 2, applied: 2, rejected: 0, status: 'Ok' },
  ]);
});
