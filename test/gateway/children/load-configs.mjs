// Reads configurations as a user's program does: an argument each, `+FILE` for one that is read twice, `.` for that of the working directory. On
// standard output a line of JSON for each: the names that were read, or the error.

import { renameSync } from 'node:fs';
import { loadConfig } from 'hawser/gateway';

/** @param {object} line */
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

for (const argument of process.argv.slice(2)) {
  const file = argument.replace(/^\+/, '');
  try {
    const loaded = await loadConfig(file === '.' ? undefined : file);
    const names = [loaded.config.name];
    if (argument !== file) {
      renameSync(`${file}.next`, file);
      names.push((await loaded.read()).config.name);
    }
    say({ file: loaded.file, names });
  } catch (error) {
    const { name, code, message } = /** @type {Error & { code?: string }} */ (error);
    say({ name, code, message });
  }
}
