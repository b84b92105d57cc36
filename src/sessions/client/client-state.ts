// The state machine of a client.

import type { ClientState } from './options.js';

/**
 * What changes the state. `connectNew` and `connectExisting`: the application connects, without a session or with one. `established`: a gateway
 * created or continued the session. `lost`: the connection is over. `expired`: the session is. `stopped`: nothing is to be connected any more.
 */
export type ClientInput = 'connectNew' | 'connectExisting' | 'established' | 'lost' | 'expired' | 'stopped';

const transitions: Readonly<Record<ClientState, { readonly [I in ClientInput]?: ClientState }>> = {
  Disconnected: { connectNew: 'ConnectingNewSession', connectExisting: 'ConnectingExistingSession' },
  ConnectingNewSession: { established: 'Connected', stopped: 'Disconnected' },
  ConnectingExistingSession: { established: 'Connected', expired: 'Expired', stopped: 'Disconnected' },
  Connected: { lost: 'ConnectingExistingSession', expired: 'Expired', stopped: 'Disconnected' },
  Expired: { connectNew: 'ConnectingNewSession', connectExisting: 'ConnectingExistingSession' },
};

/** The state after an input; undefined where it means nothing in that state. */
export function nextClientState(state: ClientState, input: ClientInput): ClientState | undefined {
  return transitions[state][input];
}
