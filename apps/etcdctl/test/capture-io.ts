import type { Io } from "../src/io.ts";

/** An {@link Io} that keeps what is written and reads from a text. */
export function captureIo(
  input: string,
  env: Readonly<Record<string, string>> = {},
): { io: Io; result(): { stdout: string; stderr: string } } {
  const out: Uint8Array[] = [];
  let stderr = "";
  const lines = input.split("\n").slice(0, -1);
  const io: Io = {
    out: (text) => void out.push(Buffer.from(text)),
    err: (text) => {
      stderr += text;
    },
    async *lines() {
      yield* lines;
    },
    readAll: () => Promise.resolve(Buffer.from(input)),
    env,
    interrupted: () => new AbortController().signal,
  };
  return { io, result: () => ({ stdout: Buffer.concat(out).toString(), stderr }) };
}
