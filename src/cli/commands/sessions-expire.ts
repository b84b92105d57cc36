import type { SessionStore } from '../../sessions/store/store.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import { expireSession, isOwned, type KeptSession, readGateways } from '../kept-sessions.js';
import { required, type Values } from '../options.js';
import { openKeptStore, storeAddress } from '../session-store.js';
import { print, printable } from '../terminal.js';

const options = {
  store: required(storeAddress, 'the store: lmdb:DIR, or etcd://HOST:PORT,...[/NAMESPACE]'),
};

export const sessionsExpire: Command = defineCommand({
  name: 'sessions expire',
  summary: 'ends a session',
  operand: 'ID',
  details: [
    'Removes the session and all that is kept of it from the store, in one transaction. The gateway that has it tells the client; the onExpire of a handler is not called. With LMDB no gateway may have the store open meanwhile.',
  ],
  options,
  run,
});

async function run({ store: address }: Values<typeof options>, sessionId: string): Promise<number> {
  const store = await openKeptStore(address);
  try {
    await print(printable(await outcomeText(store, await expireSession(store, sessionId))));
    return exitCodes.ok;
  } finally {
    await store.close();
  }
}

async function outcomeText(store: SessionStore, { sessionId, owner }: KeptSession): Promise<string> {
  const removed = `session ${sessionId}${owner === undefined ? '' : ` of ${owner.identity}`} is removed`;
  if (owner === undefined || !isOwned(owner, await readGateways(store))) return removed;
  return `${removed}; gateway ${owner.gateway}, which has it, tells the client`;
}
