// A game in miniature: players send where they want to go, the server moves them twenty times a second and tells everybody
// where everybody is. Server and players share a process here, so that one command shows all of it.
//
//   node examples/tick-broadcast.ts [players] [ticks]

import { Client, type Peer, Server } from 'hawser';
import { createTokenMinter, generateKey } from 'hawser/token';

const players = Number(process.argv[2] ?? 5);
const ticks = Number(process.argv[3] ?? 40);
const tickMs = 50;
const protocolId = 2n;

interface Player {
  x: number;
  wish: number;
}

// ---- The server

const key = generateKey();
// As many as fit into one snapshot.
const maxPeers = 100;
const server = await Server.listen({ address: '127.0.0.1:0', protocolId, keys: [key], maxPeers });
const world = new Map<Peer, Player>();

server.on('connect', (peer) => world.set(peer, { x: 0, wish: 0 }));
server.on('disconnect', (peer) => world.delete(peer));
server.on('message', (peer, data) => {
  const player = world.get(peer);
  if (player !== undefined) player.wish = new DataView(data.buffer, data.byteOffset).getInt8(0);
});

/** u32 tick, then for each player u32 id and f32 position: 804 bytes for 100 players, which one packet carries. */
function snapshot(tick: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 8 * world.size));
  view.setUint32(0, tick);
  let at = 4;
  for (const [peer, player] of world) {
    view.setUint32(at, Number(peer.clientId));
    view.setFloat32(at + 4, player.x);
    at += 8;
  }
  return new Uint8Array(view.buffer);
}

// ---- The players, all on one socket

const minter = await createTokenMinter({ protocolId, key, addresses: server.publicAddresses });
const client = await Client.open();
const heard = new Map<number, number>();

for (let id = 1; id <= players; ++id) {
  const connection = await client.connect(minter.mint({ clientId: BigInt(id) }));
  connection.on('message', (data) => {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    heard.set(id, (heard.get(id) ?? 0) + 1);
    // A snapshot that is lost needs no repair: the next one says it all. That is what unreliable messages are for.
    if (id === 1 && view.getUint32(0) % 10 === 0) console.log(describe(view));
  });
  connection.send(Uint8Array.of(id));
}

// ---- The game, which begins when all of them are there

let tick = 0;
const timer = setInterval(() => {
  if (tick === ticks) {
    void end();
    return;
  }
  for (const player of world.values()) player.x += player.wish * (tickMs / 1000);
  server.broadcast(snapshot(++tick));
}, tickMs);

function describe(view: DataView): string {
  const positions: string[] = [];
  for (let at = 4; at < view.byteLength; at += 8) {
    positions.push(`${view.getUint32(at)} at ${view.getFloat32(at + 4).toFixed(2)}`);
  }
  return `tick ${view.getUint32(0)}: ${positions.join(', ')}`;
}

async function end(): Promise<void> {
  clearInterval(timer);
  await client.close();
  await server.close();
  const least = Math.min(...Array.from({ length: players }, (_, index) => heard.get(index + 1) ?? 0));
  console.log(`${ticks} ticks, ${players} players; each heard at least ${least}`);
}
