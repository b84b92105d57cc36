// The logger that a gateway writes to: what pino's loggers have, so that one of them can be given.

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
/** From the most talkative to the most silent. */
export type LogLevel = (typeof logLevels)[number];

/** Writes a line. @param fields what belongs to the line, by name; an Error as `err`. @param message for people. */
export type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/** A structured logger, as pino makes them. */
export interface Logger extends Readonly<Record<LogLevel, LogMethod>> {
  /** @returns a logger that adds these fields to each line. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
}
