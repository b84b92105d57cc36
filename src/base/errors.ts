/**
 * Every error code of this package and what it means, one line each. A code is stable: once published it keeps its name
 * and its meaning. Messages may change and are for people only.
 */
export const errorTable = {
  ERR_HAWSER_ARGUMENT: 'An argument or option has the wrong type or lies outside what is allowed.',
  ERR_HAWSER_NODE_VERSION: 'This version of Node.js is too old for the package.',
  ERR_HAWSER_ADDON_MISSING: 'There is no native addon for this platform, or it cannot be loaded.',
  ERR_HAWSER_ADDRESS_IN_USE:
    'Another socket is bound to the address and port, or another connection of this socket goes to that netcode server.',
  ERR_HAWSER_ADDRESS_NOT_AVAILABLE: 'The address does not belong to any interface of this machine.',
  ERR_HAWSER_PERMISSION: 'The operating system does not let this process do that.',
  ERR_HAWSER_TOO_MANY_FILES: 'The process or the system has no file descriptor left.',
  ERR_HAWSER_SYSTEM: 'The operating system refused a call for a reason that has no code of its own.',
  ERR_HAWSER_TLS:
    'A TLS handshake failed: a certificate was not accepted, or the two sides have no version, cipher or protocol in common.',
  ERR_HAWSER_CLOSED: 'The server, client or connection is closed or closing.',
  ERR_HAWSER_NOT_CONNECTED: 'The peer is not connected any more.',
  ERR_HAWSER_ALREADY_CONNECTED: 'What is to be connected is connected, or connecting, already.',
  ERR_HAWSER_KEY_UPDATE_BUSY: 'A key update of this connection is under way, or has just been.',
  ERR_HAWSER_KEY_UPDATE_REFUSED: 'The other end refused a key update; the keys stay as they are.',
  ERR_HAWSER_WIRE: 'The wire format of this connection cannot do that.',
  ERR_HAWSER_MESSAGE_TOO_LONG: 'The message is longer than its channel allows, or than one datagram.',
  ERR_HAWSER_QUEUE_FULL: 'Too much waits to be sent to the peer already.',
  ERR_HAWSER_EXPIRED: 'The time to live of the message passed before it was acknowledged.',
  ERR_HAWSER_ABORTED: 'The caller gave up, through its AbortSignal or by disconnecting.',
  ERR_HAWSER_DENIED: 'Every address of the token answered that the client is not admitted.',
  ERR_HAWSER_TIMED_OUT: 'Nothing was heard in time.',
  ERR_HAWSER_CONNECTION_LOST:
    'The connection was lost before the response came; whether the request was carried out is unknown.',
  ERR_HAWSER_REPLACED:
    'The same client connected anew elsewhere; connecting again would end that connection in turn.',
  ERR_HAWSER_PROTOCOL: 'The other side sent what its protocol does not allow.',
  ERR_HAWSER_STATUS: 'The other side answered the request with a status that is not SUCCESS.',
  ERR_HAWSER_SESSION_EXPIRED: "The session is over: it expired or was closed, or it is not this client's.",
  ERR_HAWSER_SESSION_REJECTED: 'No gateway would begin the session; the message has the reason.',
  ERR_HAWSER_RESPONSE_EVICTED:
    'The outcome of the request is not kept any more; the request is not carried out again.',
  ERR_HAWSER_USER_ERROR: 'The application on the other side answered the request with an error of its own.',
  ERR_HAWSER_HANDLER: 'The handler of the other side failed; nothing that it was to write was kept.',
  ERR_HAWSER_TOKEN_INVALID: 'The connect token is malformed, altered, or breaks a rule of the protocol.',
  ERR_HAWSER_TOKEN_KEY: 'None of the given server keys opens the private part of the connect token.',
  ERR_HAWSER_TOKEN_EXPIRED: 'The lifetime of the connect token passed before the connection was made.',
  ERR_HAWSER_PACKAGE_MISSING: 'An optional package that this needs is not installed.',
  ERR_HAWSER_CONFIG: 'The configuration of a gateway is wrong; the message says where, and what is allowed.',
  ERR_HAWSER_CAPTURE_BUSY: 'What goes over that listener is being captured already.',
  ERR_HAWSER_CAPTURE_REFUSED: 'The configuration of the gateway does not allow captures with plaintext.',
  ERR_HAWSER_STORE_LOCKED: 'Another process, or this one, has the store open already.',
  ERR_HAWSER_STORE_FORMAT: 'The file is no store of this package, or of a version that this one cannot read.',
  ERR_HAWSER_STORE_FULL: 'The store has reached its greatest size; what it keeps is unharmed.',
  ERR_HAWSER_STORE_QUOTA: 'The agent has its share of the store; what it keeps is unharmed.',
  ERR_HAWSER_DISK_FULL: 'The disk that the store is on has no room left; what it keeps is unharmed.',
  ERR_HAWSER_STORE_UNAVAILABLE:
    'The store cannot be reached or did not answer in time; whether it did what was asked is unknown.',
  ERR_HAWSER_KME_UNAVAILABLE:
    'The key management entity cannot be reached, did not answer in time, or has no keys now; another attempt may succeed.',
  ERR_HAWSER_KME_REFUSED:
    'The key management entity refused the request, or does not know who asks; another attempt would be refused too.',
  ERR_HAWSER_KEY_UNAVAILABLE: 'There is no key of that id, or it is expired, revoked or delivered already.',
  ERR_HAWSER_MASTER_KEY: 'The master key is not that of the key store, or what is sealed in it was altered.',
  ERR_HAWSER_SECRET_MEMORY: 'The system lets this process lock no more memory for secrets.',
  ERR_HAWSER_DEVICE: 'A device did not take, use or delete a key; it goes on as before.',
  ERR_HAWSER_ROTATION: 'The rotation did not come about; both sides use the old key.',
  ERR_HAWSER_STORE: 'The store could not be read or written for a reason that has no code of its own.',
} as const;

/** One of the keys of {@link errorTable}. */
export type HawserErrorCode = keyof typeof errorTable;

/**
 * The one class of error that this package throws and rejects with. Branch on `code`; `cause` holds the error underneath
 * where there is one. A message never contains a key, a token or a part of them.
 */
export class HawserError extends Error {
  /** Which situation it is: one of the codes of docs/errors.md. */
  readonly code: HawserErrorCode;

  constructor(code: HawserErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'HawserError';
    this.code = code;
  }
}
