/** What commands may touch of the world outside; tests give their own. */
export interface Io {
  readonly repository: string;
  readonly signal: AbortSignal;
  out(text: string): void;
  err(text: string): void;
}
