// Stands for `wg`: knows one interface, wg0, and keeps what it is told. Arguments: the file with its state, then those of `wg`.
import { readFileSync, writeFileSync } from 'node:fs';

const [, , file = '', command, name, ...rest] = process.argv;
const [subject, key = '', option, path = ''] = rest;
const state = JSON.parse(readFileSync(file, 'utf8'));
state.calls.push([command, name, ...rest]);
if (state.hang) {
  setInterval(() => undefined, 1000);
} else if (name !== 'wg0') {
  process.stderr.write('Unable to access interface: No such device\n');
  process.exitCode = 1;
} else if (command === 'show' && subject === 'latest-handshakes') {
  for (const [peer, at] of Object.entries(state.handshakes)) process.stdout.write(`${peer}\t${at}\n`);
} else if (command === 'set' && option === 'preshared-key') {
  // By its name, as `wg` does.
  state.keys[key] = readFileSync(path, 'latin1');
}
writeFileSync(file, JSON.stringify(state));
