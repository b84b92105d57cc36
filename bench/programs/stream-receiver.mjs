// Receives the stream of the rows with one peer. Configuration: {driver, messageBytes}.
import { loadDriver, windowOf } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';
import { StreamReceiver } from '../lib/stream.mjs';

const { driver: name, messageBytes } = /** @type {{driver: string, messageBytes: number}} */ (
  configuration()
);
const driver = await orUnavailable(loadDriver(name));
const receiver = new StreamReceiver(windowOf(driver, messageBytes), (data) => listening.send(data));
const listening = await driver.listen((data) => receiver.receive(data));

serve({
  target: () => listening.target,
  mark: () => ({ ...processMark(), messages: receiver.received, misplaced: receiver.misplaced }),
});
