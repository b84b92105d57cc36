// Loaded with --require into a program that Node.js is a part of: runs exercise.mjs in a thread, and ends before the
// program itself begins.
const { Worker } = require('node:worker_threads');
const { join } = require('node:path');

const done = new Int32Array(new SharedArrayBuffer(4));
// Without the option that loads this file, which threads would obey too.
const env = { ...process.env, NODE_OPTIONS: '' };
new Worker(join(__dirname, 'exercise.mjs'), { workerData: { done }, execArgv: [], env });
Atomics.wait(done, 0, 0, 60_000);
process.reallyExit(Atomics.load(done, 0) === 1 ? 0 : 1);
