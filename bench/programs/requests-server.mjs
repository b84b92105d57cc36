// Answers reads: the far end of the rows with requests. Configuration: {driver, connections}.
import { loadRequestDriver } from '../drivers/requests.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';

const { driver: name, connections } = /** @type {{driver: string, connections: number}} */ (configuration());
const driver = await orUnavailable(loadRequestDriver(name));
const target = await driver.serve(connections);

serve({ target: () => target, mark: processMark });
