// The commands by their names, and what each is for. A command is loaded only to run or to tell its options: all of
// them together load every layer of the package, which takes longer than most of them run.

import type { Command } from './command.js';

/** A command that is not loaded yet. */
export interface ListedCommand extends Pick<Command, 'name' | 'summary'> {
  load(): Promise<Command>;
}

/** In the order of the help. A test holds each against the command that it loads. */
export const commands: readonly ListedCommand[] = [
  {
    name: 'gateway',
    summary: 'runs a gateway, from options or from a configuration',
    load: async () => (await import('./commands/gateway.js')).gateway,
  },
  {
    name: 'top',
    summary: 'shows a gateway that runs: rates, round trips, drops, sessions, peers',
    load: async () => (await import('./commands/top.js')).top,
  },
  {
    name: 'capture',
    summary: 'records what a gateway that runs receives and sends, for Wireshark',
    load: async () => (await import('./commands/capture.js')).capture,
  },
  {
    name: 'reload',
    summary: 'has a gateway that runs read its configuration again',
    load: async () => (await import('./commands/reload.js')).reload,
  },
  {
    name: 'drain',
    summary: 'has a gateway that runs end: peers are asked to go elsewhere, and given time',
    load: async () => (await import('./commands/drain.js')).drain,
  },
  {
    name: 'load',
    summary: 'simulates peers over real sockets and measures round trips',
    load: async () => (await import('./commands/load.js')).load,
  },
  {
    name: 'demo',
    summary: 'a gateway and its load in two processes, with a live view',
    load: async () => (await import('./commands/demo.js')).demo,
  },
  {
    name: 'ping',
    summary: 'connects and shows round trip and clock offset',
    load: async () => (await import('./commands/ping.js')).ping,
  },
  {
    name: 'sync push',
    summary: 'brings the documents of a directory or file to a manager',
    load: async () => (await import('./commands/sync-push.js')).syncPush,
  },
  {
    name: 'sync manager',
    summary: 'runs a manager, to which agents bring their state',
    load: async () => (await import('./commands/sync-manager.js')).syncManager,
  },
  {
    name: 'sync dump',
    summary: 'prints what agents have brought to a manager',
    load: async () => (await import('./commands/sync-dump.js')).syncDump,
  },
  {
    name: 'sync forget',
    summary: 'deletes an agent from the store of a manager',
    load: async () => (await import('./commands/sync-forget.js')).syncForget,
  },
  {
    name: 'sessions ls',
    summary: 'lists the sessions of a store, and which gateways have them',
    load: async () => (await import('./commands/sessions-ls.js')).sessionsLs,
  },
  {
    name: 'sessions show',
    summary: 'shows all that a store keeps of a session',
    load: async () => (await import('./commands/sessions-show.js')).sessionsShow,
  },
  {
    name: 'sessions expire',
    summary: 'ends a session',
    load: async () => (await import('./commands/sessions-expire.js')).sessionsExpire,
  },
  {
    name: 'sessions client',
    summary: 'keeps a session with whichever gateway there is, and shows it',
    load: async () => (await import('./commands/sessions-client.js')).sessionsClient,
  },
  {
    name: 'kme',
    summary: 'runs pairs of key management entities (ETSI GS QKD 014) for development',
    load: async () => (await import('./commands/kme.js')).kme,
  },
  {
    name: 'kme certs',
    summary: 'makes the certificates by which KMEs and SAEs know each other',
    load: async () => (await import('./commands/kme-certs.js')).kmeCerts,
  },
  {
    name: 'sae master',
    summary: 'runs an SAE, which begins rotations',
    load: async () => (await import('./commands/sae-run.js')).saeMaster,
  },
  {
    name: 'sae slave',
    summary: 'runs an SAE, which follows a master',
    load: async () => (await import('./commands/sae-run.js')).saeSlave,
  },
  {
    name: 'sae rotate',
    summary: 'has the master that runs rotate, and waits until both sides have',
    load: async () => (await import('./commands/sae-rotate.js')).saeRotate,
  },
  {
    name: 'sae status',
    summary: 'shows how an SAE stands: its peers, sessions and keys, by their ids',
    load: async () => (await import('./commands/sae-status.js')).saeStatus,
  },
  {
    name: 'sae forget',
    summary: 'deletes the keys and sessions that an SAE keeps of a peer',
    load: async () => (await import('./commands/sae-forget.js')).saeForget,
  },
  {
    name: 'sae keygen',
    summary: 'makes the signing key of an SAE, and the master key of its store',
    load: async () => (await import('./commands/sae-keygen.js')).saeKeygen,
  },
  {
    name: 'sae demo',
    summary: 'two KMEs and two SAEs that rotate the keys of a connection, with a live view',
    load: async () => (await import('./commands/sae-demo.js')).saeDemo,
  },
  {
    name: 'token',
    summary: 'makes a connect token, or shows what is in one',
    load: async () => (await import('./commands/token.js')).token,
  },
  {
    name: 'keygen',
    summary: 'makes a server key, which seals and opens connect tokens',
    load: async () => (await import('./commands/keygen.js')).keygen,
  },
  {
    name: 'doctor',
    summary: 'looks whether this machine suits a gateway, and says what to change',
    load: async () => (await import('./commands/doctor.js')).doctor,
  },
  {
    name: 'build',
    summary: 'compiles the native addon, where no prebuilt one fits',
    load: async () => (await import('./commands/build.js')).build,
  },
];
