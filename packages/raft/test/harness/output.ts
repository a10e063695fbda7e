import type { RaftLogger } from "../../src/logger.ts";

export const LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"] as const;
const SILENT = LEVELS.length - 1;

/** Collects what a command prints: log lines at or above a level, and everything else unless silenced. */
export class Output implements RaftLogger {
  level = 0;
  #text = "";

  get quiet(): boolean {
    return this.level === SILENT;
  }

  /** What was collected so far; starts anew. */
  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  write(text: string): void {
    if (!this.quiet) this.#text += text;
  }

  /** Runs `fn` and indents what it prints. */
  indented(fn: () => void): void {
    const before = this.take();
    try {
      fn();
    } finally {
      const lines = this.take().split("\n");
      if (lines.at(-1) === "") lines.pop();
      this.#text = before + lines.map((line) => `  ${line}\n`).join("");
    }
  }

  debug(msg: string): void {
    this.#log(0, msg);
  }

  info(msg: string): void {
    this.#log(1, msg);
  }

  warn(msg: string): void {
    this.#log(2, msg);
  }

  error(msg: string): void {
    this.#log(3, msg);
  }

  #log(level: number, msg: string): void {
    if (this.level <= level) this.write(`${LEVELS[level]} ${msg}\n`);
  }
}
