import { readSaeConfig } from '../../gateway/sae/config.js';
import type { RotationResult } from '../../keys/agent/events.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes } from '../errors.js';
import { duration, flag, optional, required, text, type Values } from '../options.js';
import { askControl } from '../sae-control.js';
import { rotationText } from '../sae-lines.js';
import { watchSignals } from '../signals.js';
import { printable, printableJson } from '../terminal.js';

const options = {
  config: required(text('FILE'), 'the configuration of the SAE that runs'),
  peer: optional(text('ID'), 'with which peer (default: the only one)'),
  lead: optional(
    duration(1000, 3_600_000),
    'how long before it the rotation is announced (default: what is configured)',
  ),
  json: flag('print the result as a line of JSON'),
};

export const saeRotate: Command = defineCommand({
  name: 'sae rotate',
  summary: 'has the master that runs rotate, and waits until both sides have',
  details: [
    'Exit code 0 when both sides use the new key and have deleted the old one; 1 when the rotation did not come about: both use the old key then.',
    'Ctrl-C only ends the waiting: a rotation that has begun goes on.',
  ],
  options,
  run,
});

async function run({ config: file, peer, lead, json }: Values<typeof options>): Promise<number> {
  const config = readSaeConfig(file);
  const interruption = watchSignals();
  try {
    const answer = await askControl(
      config.control,
      { command: 'rotate', peer, leadMs: lead },
      interruption.signal,
    );
    if (answer === undefined) {
      throw new CommandError(
        `the SAE ${config.saeId} does not run: start it with "hawser sae master --config ${file}"`,
      );
    }
    // Both ends are this package, of one version.
    const result = answer.result as RotationResult;
    const line = json ? printableJson(JSON.stringify(result)) : printable(rotationText(result));
    process.stdout.write(`${line}\n`);
    return exitCodes.ok;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    process.stderr.write('not waited for any more: the rotation goes on\n');
    return exitCodes.interrupted;
  } finally {
    interruption.dispose();
  }
}
