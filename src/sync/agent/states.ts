// The states of an agent's session (source document, "State Machine").

/** Where a module of an agent is. */
export const agentStates = ['Idle', 'WaitingStartAck', 'DataTransfer', 'WaitingEndAck'] as const;
/**
 * - `Idle`: no session is under way; one may be about to begin, when the manager has asked for a delay.
 * - `WaitingStartAck`: Start was sent.
 * - `DataTransfer`: the manager has accepted; Data are being sent, or sent again.
 * - `WaitingEndAck`: End was sent.
 */
export type AgentState = (typeof agentStates)[number];

/**
 * What changes the state:
 * - `start`, `end`: the agent has sent that message for the first time, or anew after `reqRet`;
 * - `startAck`: the manager accepted;
 * - `reqRet`: the manager asks for Data again;
 * - `finish`: the session is over, for whatever reason.
 */
export const agentInputs = ['start', 'startAck', 'end', 'reqRet', 'finish'] as const;
export type AgentInput = (typeof agentInputs)[number];

const transitions: Readonly<Record<AgentState, { readonly [I in AgentInput]?: AgentState }>> = {
  Idle: { start: 'WaitingStartAck' },
  WaitingStartAck: { startAck: 'DataTransfer', finish: 'Idle' },
  DataTransfer: { end: 'WaitingEndAck', finish: 'Idle' },
  WaitingEndAck: { reqRet: 'DataTransfer', finish: 'Idle' },
};

/** The state after an input; undefined where the input means nothing in that state. */
export function nextAgentState(state: AgentState, input: AgentInput): AgentState | undefined {
  return transitions[state][input];
}
