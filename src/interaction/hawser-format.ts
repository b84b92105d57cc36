// Our own format of messages: a CBOR map with numbered keys, of which key 0 says what the message is. What is left out
// has its default; 0 is 0.
//
//   request       0: 1, 1: messageId, 2: operation, 3: endpoint, 4: feature, 5: payload
//   response      0: 2, 1: messageId, 2: status, 3: payload
//   notification  0: 3, 2: subscriptionId, 3: endpoint, 4: feature, 5: changes, 6: flags, 7: sequence
//   control       0: 4, 1: control type, 2: sequence
//
// A request to unsubscribe has neither endpoint nor feature.

import type { NotificationKind, Operation } from './messages.js';

export const messageTypes = { request: 1, response: 2, notification: 3, control: 4 } as const;

export const operationCodes = { read: 1, write: 2, subscribe: 3, invoke: 4, unsubscribe: 5 } as const;
export const operations: readonly Operation[] = ['read', 'write', 'subscribe', 'invoke', 'unsubscribe'];

/** The bits of a notification's flags that say what it is sent for. Those above are free. */
export const kindFlags = { change: 0, priming: 1, heartbeat: 2 } as const;
export const kindMask = 3;
export const kinds: readonly NotificationKind[] = ['change', 'priming', 'heartbeat'];
