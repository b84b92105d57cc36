// One end in a process of its own, so that two releases of the addon never meet in one.
//   node test/release/previous/process.mjs gateway PACKAGE FOLDER   until its standard input ends
//   node test/release/previous/process.mjs client PACKAGE VISIT     VISIT in JSON
// Says what it found as lines of JSON.
import { once } from 'node:events';
import { pay } from './client.mjs';
import { openGateway } from './gateway.mjs';
import { loadPackage } from './package.mjs';

const [role, root = '', argument = ''] = process.argv.slice(2);
const say = (/** @type {unknown} */ value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const pkg = await loadPackage(root);
if (role === 'gateway') {
  const gateway = await openGateway(pkg, argument);
  say(gateway.addresses);
  process.stdin.resume();
  await once(process.stdin, 'end');
  say(await gateway.close());
} else {
  say(await pay(pkg, JSON.parse(argument)));
}
