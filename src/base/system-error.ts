// What an error of the operating system says.

/** The code of an error of the operating system (`EADDRINUSE`), if it is one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** What the operating system says, without the code before it and the call behind it: `no such file or directory`. */
export function systemReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^[A-Z\d]+: (.+?), [a-z]+/.exec(message)?.[1] ?? message;
}
