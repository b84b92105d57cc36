// The status of a response, as its source document numbers it.

/** Every status of a response with the number that is sent. */
export const statusCodes = {
  /** It is done. */
  SUCCESS: 0,
  /** The device has no such endpoint. */
  INVALID_ENDPOINT: 1,
  /** The endpoint has no such feature. */
  INVALID_FEATURE: 2,
  /** The feature has no such attribute. */
  INVALID_ATTRIBUTE: 3,
  /** The feature has no such command. */
  INVALID_COMMAND: 4,
  /** A parameter is not what the command takes. */
  INVALID_PARAMETER: 5,
  /** The attribute cannot be written. */
  READ_ONLY: 6,
  /** The attribute cannot be read. */
  WRITE_ONLY: 7,
  /** Who asked may not. */
  NOT_AUTHORIZED: 8,
  /** Not now: later it may succeed. */
  BUSY: 9,
  /** The device does not do this. */
  UNSUPPORTED: 10,
  /** A value is outside of what is allowed. */
  CONSTRAINT_ERROR: 11,
  /** The device did not come to an end in time. */
  TIMEOUT: 12,
  /** The device has no room for it. */
  RESOURCE_EXHAUSTED: 13,
} as const;

/** The name of a status. */
export type Status = keyof typeof statusCodes;

/** A status that is not SUCCESS. */
export type ErrorStatus = Exclude<Status, 'SUCCESS'>;

const namesByCode: ReadonlyMap<number, Status> = new Map(
  Object.entries(statusCodes).map(([name, code]) => [code, name as Status]),
);

/** The status with a number; undefined when there is none. */
export function statusOf(code: number): Status | undefined {
  return namesByCode.get(code);
}
