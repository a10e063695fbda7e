import type { ImageStore, PodRuntime } from "@keelson/runtime";

/** The world as commands see it. */
export interface Io {
  /** Text to standard output, as it is. */
  out(text: string): void;
  /** A line to standard error. */
  err(line: string): void;
  /** Whether somebody watches standard error. */
  readonly isWatched: boolean;
  /** Whether standard input and output are a terminal. */
  readonly isTerminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  nowMs(): number;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  /** Becomes another program. Returns only in tests, with the exit code to end with. */
  become(argv: readonly [string, ...string[]]): Promise<number>;
}

/** What a command gets. Pods and images are opened by the commands that need them. */
export interface Context {
  readonly io: Io;
  pods(): Promise<PodRuntime>;
  images(): Promise<ImageStore>;
  readonly isRoot: boolean;
}

/** Ends a command with a line on standard error. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = FAILURE) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** rkt's exit code for every error of its own, so that it is not taken for the app's. */
export const FAILURE = 254;
