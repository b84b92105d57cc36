// Sends the stream of `msgs-64`, `reliable-64` and `reliable-1200`. Configuration: {driver, target, messageBytes}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';
import { StreamSender } from '../lib/stream.mjs';

const {
  driver: name,
  target,
  messageBytes,
} = /** @type {{driver: string, target: unknown, messageBytes: number}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const sender = new StreamSender(driver.window, messageBytes, (data) => connected.send(data));
const connected = await driver.connect(
  target,
  (data) => sender.acknowledge(data),
  () => sender.fill(),
);

serve({
  start: () => sender.start(),
  stop: () => sender.stop(),
  mark: () => ({ ...processMark(), messages: sender.sent, stalls: sender.stalls }),
  close: () => connected.close(),
});
