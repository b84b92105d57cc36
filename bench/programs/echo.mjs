// Sends every message back: the far end of `rtt`. Configuration: {driver}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, serve } from '../lib/program.mjs';

const { driver: name } = /** @type {{driver: string}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const listening = await driver.listen((data) => listening.send(data));

serve({ target: () => listening.target, close: () => listening.close() });
