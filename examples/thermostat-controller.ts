// Asks a thermostat for a temperature, has it heat, and listens until it is warm enough.
//
//   node examples/thermostat-controller.ts <token>          (see thermostat-device.ts)

import { HawserError } from 'hawser';
import { hawserConnector, InteractionClient, typed } from 'hawser/interaction';
import { model } from './thermostat-model.ts';

// It connects again after each loss, and then subscribes again; but with the same token, so not when that is the reason.
const [, , token] = process.argv;
if (token === undefined)
  throw new Error('node thermostat-controller.ts <token>: thermostat-device.ts prints one');
const client = new InteractionClient({
  connector: hawserConnector(token),
  reconnection: {
    reconnectAfter: (reason) =>
      !(reason instanceof HawserError && reason.code.startsWith('ERR_HAWSER_TOKEN')),
  },
  resubscribe: true,
});
const thermostat = typed(client, model);

try {
  await client.connect();
  const { measured, target } = await thermostat.read('thermostat', 'temperature', ['measured', 'target']);
  console.log(`it is ${measured} degrees, and is to be ${target}`);

  const wanted = measured + 1;
  await thermostat.write('thermostat', 'temperature', { target: wanted });
  const { untilMs } = await thermostat.invoke('thermostat', 'temperature', 'boost', { minutes: 5 });
  console.log(`it heats until ${new Date(untilMs).toISOString()}`);

  await new Promise<void>((resolve, reject) => {
    const terms = { attributes: ['measured'], minIntervalMs: 200 } as const;
    const changed = (values: { readonly measured?: number }): void => {
      if (values.measured === undefined) return;
      console.log(`${values.measured} degrees`);
      if (values.measured >= wanted) resolve();
    };
    const stale = (reason: string): void => console.log(`this may be old: ${reason}`);
    thermostat.subscribe('thermostat', 'temperature', terms, { changed, stale }).catch(reject);
  });
  console.log('it is warm');
} catch (error) {
  if (!(error instanceof HawserError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
