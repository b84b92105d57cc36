// A device's program for the tests: it does as DEVICE_MODE says and writes what it was given into the file DEVICE_LOG.
import { appendFileSync, readFileSync } from 'node:fs';

const {
  DEVICE_LOG = '',
  DEVICE_MODE,
  HAWSER_ACTION,
  HAWSER_KEY_ID,
  HAWSER_PEER,
  HAWSER_ROLE,
  HAWSER_SESSION,
} = process.env;
if (DEVICE_MODE === 'hang') {
  process.on('SIGTERM', () => appendFileSync(DEVICE_LOG, 'SIGTERM\n'));
  appendFileSync(DEVICE_LOG, `${process.pid}\n`);
  setInterval(() => undefined, 1000);
} else {
  const input = readFileSync(0);
  const rest = process.argv.slice(2);
  appendFileSync(
    DEVICE_LOG,
    `${JSON.stringify({
      rest,
      action: HAWSER_ACTION,
      keyId: HAWSER_KEY_ID,
      peer: HAWSER_PEER,
      role: HAWSER_ROLE,
      session: HAWSER_SESSION,
      input: input.toString('hex'),
      names: Object.keys(process.env).sort(),
    })}\n`,
  );
  switch (DEVICE_MODE) {
    case 'flood': {
      const block = Buffer.alloc(1_048_576, 'x');
      for (let written = 0; written < 10; ++written) process.stderr.write(block);
      process.exitCode = 3;
      break;
    }
    case 'signal':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'echo base64':
      process.stderr.write(`+ set key ${input.toString('base64')}\n`);
      process.exitCode = 1;
      break;
    case 'echo hex':
      process.stderr.write(`key=${input.toString('hex').toUpperCase()}\n`);
      process.exitCode = 1;
      break;
    case 'echo binary':
      process.stdout.write(input);
      process.exitCode = 1;
      break;
    case 'terminal':
      process.stderr.write('no\u001b[2Jsuch\r\ndevice\u0007\u202e');
      process.exitCode = 1;
      break;
    default:
      process.stdout.write('operational\n');
  }
}
