import { existsSync } from 'node:fs';
import { readSaeConfig } from '../../gateway/sae/config.js';
import { openSaeStore } from '../../gateway/sae/host.js';
import type { KeyStore } from '../../keys/store/store.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes } from '../errors.js';
import { flag, required, text, type Values } from '../options.js';
import { plural } from '../sae-lines.js';
import { printable } from '../terminal.js';

const options = {
  config: required(text('FILE'), 'the configuration of the SAE, which must not run'),
  peer: required(text('ID'), 'the peer to forget, as sae status lists it'),
  yes: flag('delete it; without it the command only says how much there is'),
};

export const saeForget: Command = defineCommand({
  name: 'sae forget',
  summary: 'deletes the keys and sessions that an SAE keeps of a peer',
  details: [
    'For a peer that is gone for good, and for a pair whose stores differ, as after one was restored from a copy: then do it at both, while neither runs. They begin again without a key, and the next rotation gives them one. Keys in devices are left where they are.',
  ],
  options,
  run,
});

async function run({ config: file, peer, yes }: Values<typeof options>): Promise<number> {
  const config = readSaeConfig(file);
  const { path } = config.store;
  // It would be made.
  if (!existsSync(path)) throw new CommandError(`there is no store in ${path}`);
  const store = await openSaeStore(config.store);
  try {
    if (!store.peers().includes(peer)) {
      throw new CommandError(`nothing is kept of ${peer}; "hawser sae status" lists of whom there is`);
    }
    const keys = store.keys(peer).length;
    const sessions = store.sessions(peer).length;
    const what = `${printable(peer)}: ${plural(keys, 'key')}, ${plural(sessions, 'session')}`;
    if (!yes) throw new CommandError(`${what}; give --yes to delete all that is kept of it`);
    await forget(store, peer);
    process.stdout.write(`${what}, deleted\n`);
    return exitCodes.ok;
  } finally {
    await store.close();
  }
}

/** The counters against messages that are sent again stay: what was recorded before is still refused. */
async function forget(store: KeyStore, peerSaeId: string): Promise<void> {
  for (const { sessionId } of store.sessions(peerSaeId)) {
    await store.commit({ peerSaeId, endSession: sessionId });
  }
  const remove = store.keys(peerSaeId).map(({ keyId }) => keyId);
  const peer = store.peer(peerSaeId);
  await store.commit({ peerSaeId, remove, ...(peer !== undefined && { peer: { ...peer, epoch: 0 } }) });
}
