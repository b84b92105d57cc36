// Connects, lets the frequent PINGs of the beginning pass, sends one message, and a little later one every 10 ms for as long as the
// connection lasts.
//
// Argument: the text form of a token.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'hawser';

const connection = await connect(process.argv[2] ?? '');
await sleep(1500);
connection.send(new Uint8Array(8));
await sleep(300);
const timer = setInterval(() => connection.send(new Uint8Array(8)), 10);
connection.once('disconnect', () => clearInterval(timer));
