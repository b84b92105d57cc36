// Sends every message back to whom it came from: the far end of `rtt`, the gateway of rivals. Configuration: {driver}.
import { loadDriver } from '../drivers/contract.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';

const { driver: name } = /** @type {{driver: string}} */ (configuration());
const driver = await orUnavailable(loadDriver(name));
const listening = await driver.listen((data) => sendBack(data));
const { sendBack = listening.send } = listening;

serve({ target: () => listening.target, mark: processMark });
