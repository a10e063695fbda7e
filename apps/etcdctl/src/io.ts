/** The program's surroundings, so that tests can run it in their own process. */
export interface Io {
  out(text: string | Uint8Array): void;
  err(text: string): void;
  /** The lines of standard input, without their ends. */
  lines(): AsyncIterable<string>;
  /** All of standard input. */
  readAll(): Promise<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Fires on SIGINT and SIGTERM, for commands that hold something. */
  interrupted(): AbortSignal;
}

/** The {@link Io} of the real process. */
export function processIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    async *lines() {
      let rest = "";
      for await (const chunk of process.stdin.setEncoding("utf8") as AsyncIterable<string>) {
        const parts = (rest + chunk).split("\n");
        rest = parts.pop() ?? "";
        yield* parts;
      }
      // As upstream's reader: what is not ended by a newline is no line.
    },
    async readAll() {
      const chunks: Uint8Array[] = [];
      for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    env: process.env,
    interrupted() {
      const abort = new AbortController();
      for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => abort.abort(name));
      return abort.signal;
    },
  };
}
