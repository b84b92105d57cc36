import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { child } from './child-gateway.js';
import { bytes, SimulatedWorld } from './support.js';

const run = promisify(execFile);

test('diagnostics_channel tells of sockets, connections, peers and drops', async () => {
  const told: [string, object][] = [];
  const names = ['socket.state', 'peer.connect', 'peer.disconnect', 'connection.state', 'drop'].map(
    (each) => `hawser:${each}`,
  );
  const listener = (message: unknown, name: string | symbol): void => {
    told.push([String(name), message as object]);
  };
  for (const name of names) subscribe(name, listener);
  const world = new SimulatedWorld();
  const server = await world.listen();
  const connection = await world.connect(await world.token(server));
  await world.settle();
  world.network.inject('192.0.2.1:5', server.address, bytes('garbage'));
  await world.settle();
  await world.until(connection.close(0x1_0000, 'done'));
  await world.settle();
  await world.close();
  for (const name of names) unsubscribe(name, listener);

  const of = (name: string): object[] =>
    told.filter(([each]) => each === `hawser:${name}`).map(([, message]) => message);
  const { address } = server;
  expect(of('socket.state').filter((each) => 'address' in each && each.address === address)).toEqual([
    { mode: 'SERVER', address, shard: 0, state: 'RUNNING' },
    { mode: 'SERVER', address, shard: 0, state: 'STOPPING' },
    { mode: 'SERVER', address, shard: 0, state: 'STOPPED' },
  ]);
  expect(of('connection.state').map((each) => ('state' in each ? each.state : undefined))).toEqual([
    'REQUESTING',
    'RESPONDING',
    'CONFIRMING',
    'CONNECTED',
    'DISCONNECTING',
    'DISCONNECTED',
  ]);
  expect(of('peer.connect')).toHaveLength(1);
  expect(of('peer.disconnect')).toEqual([
    expect.objectContaining({
      info: { result: 'disconnected', code: 0x1_0000, reason: 'done', reconnectSpreadMs: 0 },
    }),
  ]);
  expect(of('drop')).toContainEqual({ address, shard: 0, reason: 'unknownType', count: 1 });
});

test('NODE_DEBUG=hawser prints the same', async () => {
  const { stderr } = await run(process.execPath, [child('unref')], {
    env: { ...process.env, NODE_DEBUG: 'hawser' },
  });
  expect(stderr).toMatch(/HAWSER \d+: hawser:socket\.state \{.*mode: 'SERVER'.*state: 'RUNNING'/s);
});
