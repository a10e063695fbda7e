import { closeSync, existsSync, fstatSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** A journal file is rotated at this size; one old file is kept, so a unit's journal takes at most twice as much. */
export const JOURNAL_FILE_BYTES_MAX = 1024 * 1024;
/** A longer line is split, as journald splits at LineMax. In UTF-16 units. */
export const JOURNAL_LINE_LENGTH_MAX = 48 * 1024;

/** One line that a unit wrote, or that the manager wrote about it. */
export interface JournalLine {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Rises by one with each line of the unit, across files and restarts. */
  readonly seq: number;
  readonly stream: "stdout" | "stderr" | "manager";
  readonly ident: string;
  readonly pid: number;
  readonly text: string;
}

/**
 * A unit's output on disk: JSON lines, bounded. Writes are synchronous: a line that was read from the unit is in the
 * kernel before the next one is read, so neither a crash of the manager nor a flood of output can lose or pile up any.
 */
export class JournalFile {
  readonly #path: string;
  readonly #listeners = new Set<(line: JournalLine) => void>();
  readonly #now: () => number;
  #fd: number;
  #size: number;
  #seq: number;

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
    this.#seq = this.read().at(-1)?.seq ?? 0;
    this.#fd = openSync(path, "a", 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  /** Appends one line. */
  append(stream: JournalLine["stream"], ident: string, pid: number, text: string): void {
    if (this.#fd === -1) return;
    const line: JournalLine = { time: this.#now(), seq: ++this.#seq, stream, ident, pid, text };
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    if (this.#size + bytes.length > JOURNAL_FILE_BYTES_MAX) this.#rotate();
    try {
      writeSync(this.#fd, bytes);
      this.#size += bytes.length;
    } catch {
      // A full disk costs the unit its log, not its life.
    }
    for (const listener of this.#listeners) listener(line);
  }

  /** Appends each line of a stream until it ends. Resolves when it has. */
  capture(readable: Readable, stream: "stdout" | "stderr", ident: string, pid: number): void {
    const decoder = new StringDecoder("utf8");
    let rest = "";
    const take = (text: string) => {
      rest += text;
      for (
        let end = rest.indexOf("\n");
        end !== -1 || rest.length > JOURNAL_LINE_LENGTH_MAX;
        end = rest.indexOf("\n")
      ) {
        const cut = end === -1 || end > JOURNAL_LINE_LENGTH_MAX ? JOURNAL_LINE_LENGTH_MAX : end;
        this.append(stream, ident, pid, rest.slice(0, cut));
        rest = rest.slice(cut === end ? cut + 1 : cut);
      }
    };
    readable.on("data", (chunk: Buffer) => take(decoder.write(chunk)));
    readable.on("end", () => {
      take(decoder.end());
      if (rest !== "") this.append(stream, ident, pid, rest);
    });
    readable.on("error", () => {}); // the pipe of a killed process
  }

  /** The kept lines, oldest first. A torn or foreign line is skipped. */
  read(): JournalLine[] {
    const lines: JournalLine[] = [];
    for (const path of [`${this.#path}.1`, this.#path]) {
      if (!existsSync(path)) continue;
      for (const text of readFileSync(path, "utf8").split("\n")) {
        const line = text === "" ? undefined : parseLine(text);
        if (line !== undefined) lines.push(line);
      }
    }
    return lines;
  }

  /** Calls `fn` with each line from now on. */
  listen(fn: (line: JournalLine) => void): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  close(): void {
    if (this.#fd !== -1) closeSync(this.#fd);
    this.#fd = -1;
  }

  #rotate(): void {
    try {
      renameSync(this.#path, `${this.#path}.1`);
      closeSync(this.#fd);
      this.#fd = openSync(this.#path, "a", 0o600);
      this.#size = 0;
    } catch {
      // Keep writing to the old file rather than to none.
    }
  }
}

function parseLine(text: string): JournalLine | undefined {
  try {
    const line = JSON.parse(text) as Partial<JournalLine>;
    if (typeof line.seq !== "number" || typeof line.time !== "number" || typeof line.text !== "string")
      return undefined;
    return { stream: "stdout", ident: "", pid: 0, ...line } as JournalLine;
  } catch {
    return undefined;
  }
}

/** As `journalctl -o short` prints it: `Nov 25 13:12:38 host sh[123]: text`. */
export function formatJournalLine(line: JournalLine, hostname: string): string {
  const date = new Date(line.time);
  const two = (n: number) => String(n).padStart(2, "0");
  const month = "JanFebMarAprMayJunJulAugSepOctNovDec".slice(date.getMonth() * 3, date.getMonth() * 3 + 3);
  const stamp = `${month} ${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${stamp} ${hostname} ${line.ident}[${line.pid}]: ${line.text}`;
}
