// Receives the stream of `msgs-64`. Configuration: {driver}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { StreamReceiver } from '../lib/stream.mjs';

const { driver: name } = /** @type {{driver: string}} */ (configuration());
const driver = await loadDriver(name);
const receiver = new StreamReceiver(driver.window, (data) => listening.send(data));
const listening = await driver.listen((data) => receiver.receive(data));

serve({
  target: () => listening.target,
  mark: () => ({ ...processMark(), messages: receiver.received }),
  close: () => listening.close(),
});
