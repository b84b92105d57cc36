import { existsSync } from 'node:fs';
import { readSaeConfig, type SaeConfig } from '../../gateway/sae/config.js';
import { openSaeStore } from '../../gateway/sae/host.js';
import type { SaeStatus } from '../../keys/agent/status.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes } from '../errors.js';
import { flag, required, text, type Values } from '../options.js';
import { askControl } from '../sae-control.js';
import { type KeptStatus, keptLines, keptStatus, statusLines } from '../sae-status-view.js';
import { pause, watchSignals } from '../signals.js';
import { painter, printableJson, Screen } from '../terminal.js';

const options = {
  config: required(text('FILE'), 'the configuration of the SAE'),
  watch: flag('show it each second, until Ctrl-C'),
  json: flag('print a line of JSON'),
};

export const saeStatus: Command = defineCommand({
  name: 'sae status',
  summary: 'shows how an SAE stands: its peers, sessions and keys, by their ids',
  details: ['Of an SAE that does not run it shows what its store knows.'],
  options,
  run,
});

const everyMs = 1000;

async function run({ config: file, watch, json }: Values<typeof options>): Promise<number> {
  const config = readSaeConfig(file);
  const interruption = watchSignals(() => screen?.end());
  const screen = watch && !json && process.stdout.isTTY ? new Screen(process.stdout) : undefined;
  try {
    do {
      const lines = await look(config, json, interruption.signal);
      if (interruption.signal.aborted) break;
      if (screen === undefined) process.stdout.write(`${lines.join('\n')}\n`);
      else screen.draw(lines);
    } while (watch && (await pause(everyMs, interruption.signal)));
    // Where it watches, Ctrl-C is how it is meant to end.
    return interruption.signal.aborted && !watch ? exitCodes.interrupted : exitCodes.ok;
  } finally {
    screen?.end();
    interruption.dispose();
  }
}

async function look(config: SaeConfig, json: boolean, signal: AbortSignal): Promise<string[]> {
  const answer = await ask(config, signal);
  if (answer === undefined) {
    const kept = await lookInto(config);
    if (json) return [printableJson(JSON.stringify({ running: false, ...kept }))];
    return keptLines(kept, painter(process.stdout));
  }
  if (json) return [printableJson(JSON.stringify({ running: true, ...answer }))];
  return statusLines(answer, Date.now(), painter(process.stdout));
}

async function ask(config: SaeConfig, signal: AbortSignal): Promise<SaeStatus | undefined> {
  try {
    const answer = await askControl(config.control, { command: 'status' }, signal);
    // Both ends are this package, of one version.
    return answer?.result as SaeStatus | undefined;
  } catch (error) {
    if (!signal.aborted) throw error;
    return undefined;
  }
}

async function lookInto(config: SaeConfig): Promise<KeptStatus> {
  const { path } = config.store;
  // It would be made.
  if (!existsSync(path)) {
    throw new CommandError(`the SAE ${config.saeId} does not run, and there is no store in ${path}`);
  }
  const store = await openSaeStore(config.store);
  try {
    return keptStatus(
      config.saeId,
      store,
      config.peers.map(({ saeId }) => saeId),
    );
  } finally {
    await store.close();
  }
}
