// Has sessions-server.ts count, again and again. Its session outlives the connection and the server: each request counts once, however often
// it had to be sent.
//
//   node examples/sessions-client.ts <token> [requests]
//
// <token> is what sessions-server.ts prints. It ends after so many requests, 10 by default, and closes its session.

import { setTimeout as sleep } from 'node:timers/promises';
import { SessionClient, sessionConnector } from 'hawser/sessions';

const [token, requests = '10'] = process.argv.slice(2);
if (token === undefined) throw new Error('give it the token that sessions-server.ts prints');

const client = new SessionClient({
  connector: sessionConnector(token),
  onServerRequest: ({ payload }) => console.log(`the server says: ${Buffer.from(payload)} already`),
});
client.on('connected', (_, continued) => console.log(continued ? 'the session goes on' : 'a new session'));
client.on('disconnected', () => console.log('disconnected'));
client.on('reconnecting', (_, delayMs) => console.log(`no server: again in ${Math.round(delayMs)} ms`));

await client.connect();
for (let i = 0; i < Number(requests); ++i) {
  // It waits for as long as there is no server.
  const count = await client.request(new TextEncoder().encode('count'));
  console.log(`counted to ${Buffer.from(count)}`);
  await sleep(100);
}
await client.disconnect(); // closes the session; `disconnect({ keepSession: true })` only leaves it
await client.close();
