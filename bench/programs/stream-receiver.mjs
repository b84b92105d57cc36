// Receives the stream of `msgs-64`, `reliable-64` and `reliable-1200`. Configuration: {driver}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';
import { StreamReceiver } from '../lib/stream.mjs';

const { driver: name } = /** @type {{driver: string}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const receiver = new StreamReceiver(driver.window, (data) => listening.send(data));
const listening = await driver.listen((data) => receiver.receive(data));

serve({
  target: () => listening.target,
  mark: () => ({ ...processMark(), messages: receiver.received, misplaced: receiver.misplaced }),
  close: () => listening.close(),
});
