import type { FleetClient } from "@keelson/fleet/client";

/** The world as commands see it. */
export interface Io {
  /** Text to standard output, as it is. */
  out(text: string): void;
  /** A line to standard error. */
  err(line: string): void;
  /** Whether somebody watches standard error. */
  readonly isWatched: boolean;
  /** A file's text; undefined when there is no such file. */
  readFile(path: string): Promise<string | undefined>;
  sleep(ms: number): Promise<void>;
  nowMs(): number;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}

/** What every command gets. */
export interface Context {
  readonly io: Io;
  readonly client: FleetClient;
}

/** Ends a command with a line on standard error. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
