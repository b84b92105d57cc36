import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../sync/store/lmdb-store.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes } from '../errors.js';
import { flag, required, text, type Values } from '../options.js';
import { bytes, count, printable } from '../terminal.js';

const options = {
  store: required(text('DIR'), 'the store of a manager'),
  agent: required(text('NAME'), 'the agent to delete: its client id, as sync dump lists it'),
  yes: flag('delete it; without it the command only says how much there is'),
};

export const syncForget: Command = defineCommand({
  name: 'sync forget',
  summary: 'deletes an agent from the store of a manager',
  details: [
    'Deletes the documents of the agent, what it said of itself, and its sessions that have not ended. No manager may have the store open meanwhile. The agent is not told: "hawser sync push --full" brings its documents again.',
  ],
  options,
  run,
});

async function run({ store: path, agent, yes }: Values<typeof options>): Promise<number> {
  // It would be made.
  if (!existsSync(join(path, 'data.mdb'))) throw new CommandError(`there is no store in ${path}`);
  const store = await openStore(path);
  try {
    const isThere =
      store.sessions().some((session) => session.agent === agent) || [...store.agents()].includes(agent);
    if (!isThere) {
      throw new CommandError(`there is no agent ${agent} in the store; "hawser sync dump" lists them`);
    }
    const usage = store.usageOf(agent);
    const what = `agent ${printable(agent)}: ${count(usage.count)} documents, ${bytes(usage.bytes)}`;
    if (!yes) throw new CommandError(`${what}; give --yes to delete all that is kept of it`);
    await store.removeAgent(agent);
    process.stdout.write(`${what}, deleted\n`);
    return exitCodes.ok;
  } finally {
    await store.close();
  }
}
