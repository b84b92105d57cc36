// A thermostat: others read its temperatures, hear of their changes, set the one that is wanted and have it heat for a while.
//
//   node examples/thermostat-device.ts [address]
//
// HAWSER_KEY is its server key, as `npx hawser keygen` prints one; without it the example makes one for itself. It prints a token for
// thermostat-controller.ts: in production a backend mints those (see token-backend.ts).

import { Server } from 'hawser';
import { AttributeStore, Device, interactionChannels, serveInteraction } from 'hawser/interaction';
import { encodeToken, generateKey, mintToken, parseKey } from 'hawser/token';
import { model } from './thermostat-model.ts';

const store = new AttributeStore(model, { thermostat: { temperature: { measured: 20, target: 21 } } });
let boostUntilMs = 0;
const handlers = store.handlers({
  commands: {
    thermostat: {
      temperature: {
        boost: ({ minutes }) => {
          boostUntilMs = Date.now() + minutes * 60_000;
          return { untilMs: boostUntilMs };
        },
      },
    },
  },
});
const device = new Device({ handlers });
store.attach(device);
store.on('change', ({ values: { target }, origin }) => {
  if (origin !== 'local') console.log(`the target is ${target} degrees now`);
});

const protocolId = 1n;
const key = process.env.HAWSER_KEY === undefined ? generateKey() : parseKey(process.env.HAWSER_KEY);
const server = await Server.listen({
  address: process.argv[2] ?? '127.0.0.1:0',
  protocolId,
  keys: [key],
  channels: interactionChannels,
});
serveInteraction(server, (connection) => device.accept(connection));
const token = await mintToken({ protocolId, key, clientId: 1n, addresses: server.publicAddresses });
console.log(`listening on ${server.address}`);
console.log(`token ${encodeToken(token)}`);

// The room: warmer while it is heated, else colder.
const room = setInterval(() => {
  const measured = store.get('thermostat', 'temperature', 'measured') ?? 20;
  const target = store.get('thermostat', 'temperature', 'target') ?? 20;
  const isHeated = measured < target || Date.now() < boostUntilMs;
  store.set('thermostat', 'temperature', {
    measured: Math.round((measured + (isHeated ? 0.2 : -0.1)) * 10) / 10,
  });
}, 100);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    clearInterval(room);
    await device.close();
    await server.close();
  });
}
