import { formatKey, generateKey, maxKeyId } from '../../token/server-key.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import { flag, integer, optional, text } from '../options.js';
import { writeNewSecret } from '../write-new-secret.js';

export const keygen: Command = defineCommand({
  name: 'keygen',
  summary: 'makes a server key, which seals and opens connect tokens',
  details: [
    'The backends that mint tokens and the gateways that accept them share it. Whoever has it can admit clients: keep it secret.',
  ],
  options: {
    id: optional(integer(0, maxKeyId), 'its id, which travels in clear in each token (default: random)'),
    out: optional(text('FILE'), 'write it to a new file that only you can read, instead of standard output'),
    json: flag('print JSON'),
  },
  run: async ({ id, out, json }) => {
    const key = generateKey(id === undefined ? {} : { id });
    const line = formatKey(key);
    if (out !== undefined) {
      writeNewSecret(out, `${line}\n`, ', and a key that is overwritten is lost; choose another file');
      process.stdout.write(
        json ? `${JSON.stringify({ id: key.id, file: out })}\n` : `key ${key.id} is in ${out}\n`,
      );
    } else {
      process.stdout.write(json ? `${JSON.stringify({ id: key.id, key: line })}\n` : `${line}\n`);
    }
    return exitCodes.ok;
  },
});
