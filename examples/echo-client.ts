// Sends ten messages to a gateway that echoes, and says how long each took.
//
//   node examples/echo-client.ts <token>
//   node examples/echo-client.ts http://127.0.0.1:8080/token      (see token-backend.ts)

import { connect, HawserError } from 'hawser';

const source = process.argv[2] ?? '';

async function fetchToken(): Promise<string> {
  const response = await fetch(source, { method: 'POST', body: JSON.stringify({ user: 'ann' }) });
  if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`);
  return response.text();
}

try {
  const connection = await connect(source.startsWith('http') ? fetchToken : source);
  console.log(`connected to ${connection.address}`);

  let count = 0;
  const ping = (): void => {
    connection.send(new TextEncoder().encode(`${performance.now()}`));
  };
  connection.on('message', (data) => {
    // `data` is valid until this function returns: what it says is read here, not kept.
    const tookMs = performance.now() - Number(new TextDecoder().decode(data));
    console.log(`echo ${++count} after ${tookMs.toFixed(3)} ms`);
    if (count < 10) ping();
    else void connection.close();
  });
  connection.on('disconnect', (info) => console.log(`ended: ${info.result}`));
  ping();
} catch (error) {
  if (!(error instanceof HawserError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
