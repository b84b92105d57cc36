import { peerOrders } from '../../gateway/snapshot.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import { askRunning, findGateway, gatewayDetails, gatewayOperand } from '../find-gateway.js';
import { choice, flag, optional, text, type Values, withDefault } from '../options.js';
import { pause, watchSignals } from '../signals.js';
import { painter, print, printableJson } from '../terminal.js';
import { TopApp } from '../top-app.js';
import type { TopChoice } from '../top-keys.js';
import { printableTexts, TopModel } from '../top-model.js';
import { printPeer } from '../top-peer.js';
import { peerLines } from '../top-peers.js';
import { overviewLines } from '../top-view.js';

const options = {
  order: withDefault(choice(peerOrders), 'rtt', 'which peers come first'),
  peer: optional(text('ID'), 'print one peer in full, by its client id, with the rates of one second'),
  once: flag('print one view as text, with the rates of one second'),
  json: flag('print all that the gateway says of itself as one line of JSON each second'),
};

export const top: Command = defineCommand({
  name: 'top',
  summary: 'shows a gateway that runs: rates, round trips, drops, sessions, peers',
  details: [
    'On a terminal it is drawn anew each second: o and O change the order of the peers, / searches for a client id or an address, the arrows and Enter show one peer in full, q ends. Elsewhere one view is printed.',
    gatewayDetails,
  ],
  options,
  operand: gatewayOperand,
  run,
});

type TopValues = Values<typeof options>;

const everyMs = 1000;
const printedPeers = 20;

async function run(values: TopValues, operand: string): Promise<number> {
  const interruption = watchSignals();
  try {
    const path = await findGateway(operand);
    // Whether there is one at all is told before the screen is taken.
    await askRunning(path, { command: 'snapshot' }, interruption.signal);
    const { peer } = values;
    if (peer !== undefined) {
      await printPeer(path, peer, values.json, painter(process.stdout), interruption.signal);
    } else if (values.json) await printJson(path, values.once, interruption.signal);
    else if (values.once || !process.stdout.isTTY) await printOnce(path, values, interruption.signal);
    else await runOnTerminal(path, values, interruption.signal);
    return exitCodes.ok;
  } catch (error) {
    // Ctrl-C is how it is meant to end.
    if (interruption.signal.aborted) return exitCodes.ok;
    throw error;
  } finally {
    interruption.dispose();
  }
}

async function printJson(path: string, once: boolean, signal: AbortSignal): Promise<void> {
  do {
    const snapshot = await askRunning(path, { command: 'snapshot' }, signal);
    await print(printableJson(JSON.stringify(snapshot)));
  } while (!once && (await pause(everyMs, signal)));
}

async function printOnce(path: string, { order }: TopValues, signal: AbortSignal): Promise<void> {
  const model = new TopModel();
  model.push(await askRunning(path, { command: 'snapshot' }, signal));
  await pause(everyMs, signal);
  const snapshot = await askRunning(path, { command: 'snapshot' }, signal);
  model.push(snapshot);
  const query = { order, limit: printedPeers };
  const page = printableTexts(await askRunning(path, { command: 'peers', query }, signal));
  const shown: TopChoice = {
    order,
    search: '',
    searching: false,
    offset: 0,
    marked: -1,
    peer: undefined,
  };
  const paint = painter(process.stdout);
  const peers = peerLines(page, shown, snapshot.timeMs, Number.POSITIVE_INFINITY, paint);
  await print([...overviewLines(model, paint), '', ...peers].join('\n'));
}

async function runOnTerminal(path: string, { order }: TopValues, signal: AbortSignal): Promise<void> {
  const { stdin, stdout } = process;
  const app = new TopApp(path, order, { output: stdout, paint: painter(stdout) });
  const onData = (text: string): void => app.type(text);
  const onResize = (): void => app.draw();
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.setEncoding('utf8').on('data', onData);
  stdout.on('resize', onResize);
  try {
    await app.run(signal);
  } finally {
    stdout.off('resize', onResize);
    stdin.off('data', onData).pause();
    if (stdin.isTTY) stdin.setRawMode(false);
  }
}
