/** Exit codes of etcdctl. */
export const Exit = {
  ERROR: 1,
  BAD_CONNECTION: 2,
  INVALID_INPUT: 3,
  BAD_FEATURE: 4,
  INTERRUPTED: 5,
  IO: 6,
  BAD_ARGS: 128,
} as const;

/** Ends the program with a code; the message goes to standard error behind `Error: `. */
export class ExitError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "ExitError";
    this.exitCode = exitCode;
  }
}

/** @throws {ExitError} 128 */
export function badArgs(message: string): never {
  throw new ExitError(Exit.BAD_ARGS, message);
}
