import type { ReloadReport } from '../../gateway/observed-gateway.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import { askRunning, findGateway, gatewayDetails, gatewayOperand } from '../find-gateway.js';
import { flag, type Values } from '../options.js';
import { watchSignals } from '../signals.js';
import { printable, printableJson } from '../terminal.js';

const options = { json: flag('print a line of JSON') };

export const reload: Command = defineCommand({
  name: 'reload',
  summary: 'has a gateway that runs read its configuration again',
  details: [
    'Server keys, limits, the token of the admin endpoint and the log level are changed at once, and no peer is disconnected; what else differs is named and takes a restart. A configuration that is wrong changes nothing. SIGHUP does the same.',
    gatewayDetails,
  ],
  options,
  operand: gatewayOperand,
  run,
});

async function run({ json }: Values<typeof options>, operand: string): Promise<number> {
  const interruption = watchSignals();
  try {
    const path = await findGateway(operand);
    const report = await askRunning(path, { command: 'reload' }, interruption.signal);
    const text = json ? printableJson(JSON.stringify(report)) : reportLines(report).map(printable).join('\n');
    process.stdout.write(`${text}\n`);
    return exitCodes.ok;
  } catch (error) {
    if (interruption.signal.aborted) return exitCodes.interrupted;
    throw error;
  } finally {
    interruption.dispose();
  }
}

/** For people. */
export function reportLines({ keyIds, changed, needRestart }: ReloadReport): string[] {
  const [first, ...others] = keyIds;
  const older = others.length === 0 ? '' : `; also taken: ${others.join(', ')}`;
  return [
    `keys     ${first ?? 'none'}${older}`,
    `changed  ${changed.length === 0 ? 'nothing' : changed.join(', ')}`,
    ...(needRestart.length === 0 ? [] : [`restart  ${needRestart.join(', ')}: differs, and takes a restart`]),
  ];
}
