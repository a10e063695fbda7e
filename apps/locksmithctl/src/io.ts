/** The world as commands see it. */
export interface Io {
  /** Text to standard output, as it is. */
  out(text: string): void;
  /** Text to standard error, as it is. */
  err(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A file's text; undefined when there is no such file. */
  readFile(path: string): string | undefined;
  /** The effective user; undefined where there are none. */
  readonly uid: number | undefined;
  readonly hostname: string;
  nowMs(): number;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}

/** Ends a command with a text on standard error. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1, options?: { cause?: unknown }) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
