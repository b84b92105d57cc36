// Sends the stream of the rows with one peer. Configuration: {driver, target, messageBytes}.
import { loadDriver, windowOf } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';
import { StreamSender } from '../lib/stream.mjs';

const {
  driver: name,
  target,
  messageBytes,
} = /** @type {{driver: string, target: unknown, messageBytes: number}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const sender = new StreamSender(windowOf(driver, messageBytes), messageBytes, (data) => connected.send(data));
const connected = await driver.connect(
  target,
  (data) => sender.acknowledge(data),
  () => sender.fill(),
);
await connected.ready?.(messageBytes);

serve({
  start: () => sender.start(),
  stop: () => sender.stop(),
  mark: () => ({
    ...processMark(),
    messages: sender.sent,
    stalls: sender.stalls,
    datagrams: connected.datagrams?.(),
  }),
  close: () => connected.close(),
});
