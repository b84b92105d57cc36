// The status of a response, as its source document numbers it.

/** Every status of a response with the number that is sent. */
export const statusCodes = {
  SUCCESS: 0,
  INVALID_ENDPOINT: 1,
  INVALID_FEATURE: 2,
  INVALID_ATTRIBUTE: 3,
  INVALID_COMMAND: 4,
  INVALID_PARAMETER: 5,
  READ_ONLY: 6,
  WRITE_ONLY: 7,
  NOT_AUTHORIZED: 8,
  BUSY: 9,
  UNSUPPORTED: 10,
  CONSTRAINT_ERROR: 11,
  TIMEOUT: 12,
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
