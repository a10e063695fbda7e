/** Time as a port. The real one is `SystemClock` of `@keelson/log`; tests use `SimClock` of `@keelson/testkit`. */
export interface Clock {
  /** Milliseconds; monotonic; meaningless across reboots. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
  /** Runs `fn` once after `delayMs`. Disposing cancels it. */
  after(delayMs: number, fn: () => void): Disposable;
  /** Runs `fn` every `periodMs` until disposed. */
  every(periodMs: number, fn: () => void): Disposable;
}

/** Randomness as a port, so that a seed replays a run. */
export interface Random {
  /** A safe integer in `[0, bound)`; `bound` is at least 1. */
  below(bound: number): number;
  /** An unsigned 64-bit integer. */
  u64(): bigint;
}

/** Levels as upstream's zap and journald know them. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";

/** Fields of a structured log line. `error` is rendered with its chain of causes. Never a secret. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Logging as a port. Layers 0 to 2 never log above debug. */
export interface Logger {
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** A logger that adds `fields` (for example `component`) to each line. */
  child(fields: LogFields): Logger;
}

/** Drops everything. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
