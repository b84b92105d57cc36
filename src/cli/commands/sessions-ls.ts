import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import {
  type Gateways,
  isOwned,
  type KeptSession,
  readGateways,
  sessionPages,
  timeText,
} from '../kept-sessions.js';
import { flag, required, type Values } from '../options.js';
import { openKeptStore, storeAddress } from '../session-store.js';
import { count, painter, print, printable, printableJson } from '../terminal.js';

const options = {
  store: required(storeAddress, 'the store: lmdb:DIR, or etcd://HOST:PORT,...[/NAMESPACE]'),
  json: flag('print a line of JSON for each session'),
};

export const sessionsLs: Command = defineCommand({
  name: 'sessions ls',
  summary: 'lists the sessions of a store, and which gateways have them',
  details: [
    'A session whose gateway is gone waits to be continued at another one, or to expire. Whether a client is connected, and when a session expires, is known to its gateway alone. With LMDB no gateway may have the store open meanwhile.',
  ],
  options,
  run,
});

async function run({ store: address, json }: Values<typeof options>): Promise<number> {
  const store = await openKeptStore(address);
  try {
    const gateways = await readGateways(store);
    const found = { sessions: 0, orphans: 0, unreadable: 0 };
    if (!json) await print(painter(process.stdout)('dim', heading));
    for await (const page of sessionPages(store)) {
      for (const { owner } of page) {
        if (owner === undefined) ++found.unreadable;
        else if (!isOwned(owner, gateways)) ++found.orphans;
      }
      found.sessions += page.length;
      const lines = page.map((session) => (json ? jsonLine(session, gateways) : textLine(session, gateways)));
      await print(lines.join('\n'));
    }
    if (!json) await print(summary(found));
    return found.unreadable === 0 ? exitCodes.ok : exitCodes.failure;
  } finally {
    await store.close();
  }
}

function jsonLine({ sessionId, owner }: KeptSession, gateways: Gateways): string {
  if (owner === undefined) return printableJson(JSON.stringify({ sessionId, unreadable: true }));
  const { gateway, epoch, identity, capabilities, delivery, createdAt } = owner;
  return printableJson(
    JSON.stringify({
      sessionId,
      identity,
      createdAt: timeText(createdAt),
      delivery,
      capabilities: Object.fromEntries(capabilities),
      gateway,
      epoch,
      gatewayLives: isOwned(owner, gateways),
    }),
  );
}

const idColumns = 36;
const timeColumns = 24;
const gatewayColumns = 28;
const heading = row('session', 'created', 'gateway', 'identity');

function textLine({ sessionId, owner }: KeptSession, gateways: Gateways): string {
  if (owner === undefined) return printable(row(sessionId, '', '', '(its record cannot be read)'));
  const { gateway, identity, createdAt } = owner;
  const lives = isOwned(owner, gateways);
  return printable(row(sessionId, timeText(createdAt), lives ? gateway : `${gateway} (gone)`, identity));
}

function row(sessionId: string, created: string, gateway: string, identity: string): string {
  const left = [sessionId.padEnd(idColumns), created.padEnd(timeColumns), gateway.padEnd(gatewayColumns)];
  return [...left, identity].join('  ');
}

function summary({
  sessions,
  orphans,
  unreadable,
}: {
  readonly sessions: number;
  readonly orphans: number;
  readonly unreadable: number;
}): string {
  return [
    `${count(sessions)} sessions`,
    ...(orphans === 0 ? [] : [`${count(orphans)} of gateways that are gone`]),
    ...(unreadable === 0 ? [] : [`${count(unreadable)} with a record that cannot be read`]),
  ].join(', ');
}
