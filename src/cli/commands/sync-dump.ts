import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type LmdbSyncStore, openStore } from '../../sync/store/lmdb-store.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { flag, optional, required, text, type Values } from '../options.js';
import { count, print, printable, printableJson } from '../terminal.js';

const options = {
  store: required(text('DIR'), 'the store of a manager'),
  agent: optional(
    text('NAME'),
    'the agent whose documents to print: its client id (default: list the agents)',
  ),
  index: optional(text('NAME'), 'only those of this index'),
  check: flag('print nothing, but look whether the store is as it should be: exit code 1 when it is not'),
};

export const syncDump: Command = defineCommand({
  name: 'sync dump',
  summary: 'prints what agents have brought to a manager',
  details: [
    'Each document is a line of JSON: {"index", "id", "version", "document"}, ordered by index and id. No manager may have the store open meanwhile.',
  ],
  options,
  run,
});

async function run({ store: path, agent, index, check }: Values<typeof options>): Promise<number> {
  if (index !== undefined && agent === undefined) throw new UsageError('--index goes with --agent');
  if (check && agent !== undefined) throw new UsageError('--check looks at the whole store, of every agent');
  // It would be made.
  if (!existsSync(join(path, 'data.mdb'))) throw new CommandError(`there is no store in ${path}`);
  const store = await openStore(path);
  try {
    if (check) await checkStore(store);
    else if (agent === undefined) await listAgents(store);
    else await dump(store, agent, index);
    return exitCodes.ok;
  } finally {
    await store.close();
  }
}

async function checkStore(store: LmdbSyncStore): Promise<void> {
  const problems = await store.check();
  if (problems.length > 0) {
    throw new CommandError(`${count(problems.length)} problems: ${problems.slice(0, 10).join('; ')}`);
  }
  process.stdout.write('the store is as it should be\n');
}

async function listAgents(store: LmdbSyncStore): Promise<void> {
  for (const agent of store.agents()) await print(printable(agent));
}

async function dump(store: LmdbSyncStore, agent: string, index: string | undefined): Promise<void> {
  let isKnown = false;
  for (const { index: of, id, version, data } of store.documents(agent, index)) {
    isKnown = true;
    const fields = JSON.stringify({ index: of, id, version: String(version) });
    await print(printableJson(`${fields.slice(0, -1)},"document":${inOneLine(data)}}`));
  }
  if (isKnown || [...store.agents()].includes(agent)) return;
  throw new CommandError(`there is no agent ${agent} in the store; without --agent they are listed`);
}

/** As it stands, so that no number loses digits. Within the tokens of JSON there are no line breaks. */
function inOneLine(document: Uint8Array): string {
  return Buffer.from(document)
    .toString('utf8')
    .replaceAll(/[\r\n][ \t\r\n]*/g, '');
}
