/** What an error knows beside its text: names and values, never secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The root of every error that Keelson throws on purpose.
 *
 * `code` is stable and meant for programs; the message is meant for people and never repeats the text of `cause`
 * (a formatter walks the chain, see {@link formatErrorChain}).
 */
export abstract class CoreError<Code extends string = string> extends Error {
  abstract readonly code: Code;
  readonly details: ErrorDetails;

  constructor(message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.details = details;
  }
}

/** A broken invariant: a defect of the program, not of its input. Not to be caught. */
export class AssertionError extends CoreError<"ERR_ASSERTION"> {
  readonly code = "ERR_ASSERTION";
}

/** Ends the operation when an invariant does not hold. Stays on in production. */
export function assert(condition: unknown, message: string, details?: ErrorDetails): asserts condition {
  if (!condition) throw new AssertionError(`invariant broken: ${message}`, details);
}

/** For the default branch of a switch over a closed union: the compiler proves that it is unreachable. */
export function unreachable(value: never, what = "value"): never {
  throw new AssertionError(`unreachable ${what}: ${String(value)}`);
}

/** Renders an error and its causes as one line: `outer: middle: inner`. */
export function formatErrorChain(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error, depth = 0; e !== undefined && depth < 8; depth++) {
    if (!(e instanceof Error)) {
      parts.push(typeof e === "string" ? e : (JSON.stringify(e) ?? "undefined"));
      break;
    }
    parts.push(e.message);
    e = e.cause;
  }
  return parts.join(": ");
}
