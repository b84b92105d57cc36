// What the bundles are made of.
import { exchange } from './exchange.mjs';

console.log(await exchange('bundled'));
