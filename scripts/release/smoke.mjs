// Tries a tarball as a user would: installs it into an empty folder, without scripts, and sends a message there and back.
//   node scripts/release/smoke.mjs TARBALL
// It needs nothing of the repository's node_modules, and runs on every platform with a prebuilt addon.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run, runNpm } from '../lib/process.mjs';

const program = `
import { Server, connect } from 'hawser';
import { generateKey, mintToken } from 'hawser/token';
const key = generateKey();
const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [key] });
server.on('message', (peer, data) => peer.send(data));
const token = await mintToken({ key, protocolId: 1n, clientId: 7n, addresses: [server.address] });
const connection = await connect(token);
const answer = new Promise((resolve) => connection.once('message', resolve));
connection.send(Buffer.from('there and back'));
console.log(Buffer.from(await answer).toString());
await connection.close();
await server.close();
`;

/** @param {string} title @param {import('../lib/process.mjs').Outcome} outcome */
function must(title, { code, output }) {
  if (code !== 0) throw new Error(`${title} failed\n${output.trimEnd()}`);
  return output;
}

const [tarball] = process.argv.slice(2);
if (tarball === undefined) throw new Error('which tarball? node scripts/release/smoke.mjs TARBALL');
const folder = mkdtempSync(join(tmpdir(), 'hawser-smoke-'));
try {
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}\n');
  writeFileSync(join(folder, 'program.mjs'), program);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund'];
  must('npm install', await runNpm(['install', ...flags, resolve(tarball)], { cwd: folder }));
  const said = must('the program', await run('node', ['program.mjs'], { cwd: folder }));
  if (!said.includes('there and back')) throw new Error(`the program said ${JSON.stringify(said)}`);
  console.log(`${tarball}: works on ${process.platform} ${process.arch}, Node.js ${process.version}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
