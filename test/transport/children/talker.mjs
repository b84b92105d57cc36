// Connects, lets the frequent PINGs of the beginning pass, sends one message, and a little later one every 10 ms for as long as the
// connection lasts; then it tells its parent how many.
//
// Argument: the text form of a token.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'hawser';

const connection = await connect(process.argv[2] ?? '');
let sent = 0;
const say = () => {
  connection.send(new Uint8Array(8));
  ++sent;
};
await sleep(1500);
say();
await sleep(300);
const timer = setInterval(say, 10);
connection.once('disconnect', () => {
  clearInterval(timer);
  process.send?.({ sent }, () => process.disconnect());
});
