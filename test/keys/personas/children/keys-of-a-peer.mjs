// Gives the file persona one key after the other, without end; the test kills it. Arguments: the module of KeyFiles' owner, the directory.
const [, , module = '', secretModule = '', directory = ''] = process.argv;
const { FilePersona } = await import(module);
const { secretFrom } = await import(secretModule);

const persona = new FilePersona({ directory });
const context = {
  peerSaeId: 'SAE_B',
  role: 'slave',
  sessionId: undefined,
  signal: new AbortController().signal,
};
let before;
for (let round = 0; ; ++round) {
  const keyId = `key-${process.pid}-${round}`;
  const material = secretFrom(new Uint8Array(32).fill((round % 255) + 1));
  const key = { keyId, material };
  await persona.preConfigure(key, context);
  await persona.rotate(key, context);
  // What the test looks for is there from now on.
  if (round === 0) process.stdout.write('begun\n');
  if (before !== undefined) await persona.deleteKey(before, context);
  material.wipe();
  before = keyId;
}
