// Asks again and again, with as many requests on their way on each connection as the window says.
// Configuration: {driver, connections, window, target}; without a target it serves itself.
import { loadRequestDriver } from '../drivers/requests.mjs';
import { configuration, orUnavailable, processMark, serve } from '../lib/program.mjs';

const {
  driver: name,
  connections,
  window,
  target,
} = /** @type {{driver: string, connections: number, window: number, target?: unknown}} */ (configuration());
const driver = await orUnavailable(loadRequestDriver(name));
const { asks, datagrams } = await driver.connect(target ?? (await driver.serve(connections)), connections);
let running = false;
let answered = 0;
let wrong = 0;

/** What the first answer was: every one is to be that. */
const expected = await asks[0]?.();

/** @param {import('../drivers/requests.mjs').Ask} ask */
async function askOn(ask) {
  while (running) {
    if ((await ask()) !== expected) ++wrong;
    ++answered;
  }
}

function start() {
  running = true;
  for (const ask of asks) {
    // A request that fails is an uncaught exception: nothing measured is then worth anything.
    for (let index = 0; index < window; ++index) void askOn(ask);
  }
}

serve({
  start,
  stop: () => {
    running = false;
  },
  mark: () => ({ ...processMark(), answered, wrong, datagrams: datagrams?.() }),
});
