import { FormatError } from "./errors.ts";

/** A value of a settings file. */
export type TomlValue = string | number | boolean | readonly TomlValue[];

/**
 * Settings of a TOML file by their dotted names, such as `updates.enabled`. The part of TOML that settings need: tables, dotted
 * and quoted keys, strings on one line, whole and decimal numbers, booleans, lists. Dates, inline tables, lists of tables and
 * texts over several lines are refused by name.
 *
 * @throws FormatError naming file and line
 */
export function parseToml(text: string, file: string): Map<string, TomlValue> {
  const settings = new Map<string, TomlValue>();
  const lines = text.split(/\r?\n/);
  let table = "";
  for (let i = 0; i < lines.length; i++) {
    const reader = new LineReader(lines[i] ?? "", `${file}, line ${i + 1}`);
    reader.skip();
    if (reader.isAtEnd) continue;
    if (reader.take("[")) {
      if (reader.take("[")) throw reader.error("lists of tables are not supported");
      table = `${reader.key()}.`;
      reader.expect("]");
    } else {
      const name = table + reader.key();
      reader.expect("=");
      // A list may go on over lines: they are joined until it is closed.
      while (reader.isOpenList && i + 1 < lines.length) reader.append(lines[++i] ?? "");
      if (settings.has(name)) throw reader.error(`${name} is set twice`);
      settings.set(name, reader.value(0));
    }
    reader.skip();
    if (!reader.isAtEnd) throw reader.error(`unexpected ${JSON.stringify(reader.rest.slice(0, 20))}`);
  }
  return settings;
}

const DEPTH_MAX = 4;
const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  t: "\t",
  n: "\n",
  f: "\f",
  r: "\r",
  '"': '"',
  "\\": "\\",
};

class LineReader {
  readonly #where: string;
  #text: string;
  #at = 0;

  constructor(line: string, where: string) {
    this.#text = line;
    this.#where = where;
  }

  get rest(): string {
    return this.#text.slice(this.#at);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** Whether the value that follows is a list whose end is not on this line. */
  get isOpenList(): boolean {
    let depth = 0;
    let quote = "";
    for (let i = this.#at; i < this.#text.length; i++) {
      const char = this.#text[i] ?? "";
      if (quote !== "") {
        if (char === "\\" && quote === '"') i++;
        else if (char === quote) quote = "";
      } else if (char === '"' || char === "'") quote = char;
      else if (char === "\n") continue;
      else if (char === "#") {
        const end = this.#text.indexOf("\n", i);
        if (end === -1) break;
        i = end;
      } else if (char === "[") depth++;
      else if (char === "]") depth--;
    }
    return depth > 0;
  }

  append(line: string): void {
    this.#text += `\n${line}`;
  }

  error(what: string): FormatError {
    return new FormatError(`${this.#where}: ${what}`);
  }

  /** White space and a comment. */
  skip(): void {
    for (;;) {
      while (/^\s$/.test(this.#text[this.#at] ?? "")) this.#at++;
      if (this.#text[this.#at] !== "#") return;
      const end = this.#text.indexOf("\n", this.#at);
      this.#at = end === -1 ? this.#text.length : end;
    }
  }

  take(char: string): boolean {
    this.skip();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  expect(char: string): void {
    if (!this.take(char)) throw this.error(`expected ${JSON.stringify(char)}`);
    this.skip();
  }

  key(): string {
    const parts: string[] = [];
    do {
      this.skip();
      const quote = this.#text[this.#at];
      if (quote === '"' || quote === "'") parts.push(this.#string(quote));
      else {
        const bare = /^[A-Za-z0-9_-]+/.exec(this.rest)?.[0];
        if (bare === undefined) throw this.error("expected a key");
        this.#at += bare.length;
        parts.push(bare);
      }
    } while (this.take("."));
    return parts.join(".");
  }

  value(depth: number): TomlValue {
    this.skip();
    const first = this.#text[this.#at] ?? "";
    if (first === '"' || first === "'") return this.#string(first);
    if (first === "[") return this.#list(depth);
    if (first === "{") throw this.error("inline tables are not supported");
    const word = /^[A-Za-z0-9_+.:-]+/.exec(this.rest)?.[0] ?? "";
    this.#at += word.length;
    if (word === "true" || word === "false") return word === "true";
    if (/^[+-]?\d+(_\d+)*(\.\d+(_\d+)*)?([eE][+-]?\d+)?$/.test(word)) {
      const number = Number(word.replaceAll("_", ""));
      if (Number.isFinite(number)) return number;
    }
    throw this.error(word === "" ? "expected a value" : `${JSON.stringify(word)} is no value; texts are quoted`);
  }

  #list(depth: number): TomlValue[] {
    if (depth >= DEPTH_MAX) throw this.error(`lists are nested more than ${DEPTH_MAX} deep`);
    this.#at++;
    const items: TomlValue[] = [];
    while (!this.take("]")) {
      if (this.isAtEnd) throw this.error("a list is not closed");
      items.push(this.value(depth + 1));
      if (!this.take(",")) {
        if (this.isAtEnd) throw this.error("a list is not closed");
        this.expect("]");
        break;
      }
    }
    return items;
  }

  #string(quote: string): string {
    if (this.rest.startsWith(quote.repeat(3))) throw this.error("texts over several lines are not supported");
    let out = "";
    for (let i = this.#at + 1; i < this.#text.length; i++) {
      const char = this.#text[i] ?? "";
      if (char === "\n") break;
      if (char === quote) {
        this.#at = i + 1;
        return out;
      }
      if (char !== "\\" || quote === "'") {
        out += char;
        continue;
      }
      const next = this.#text[++i] ?? "";
      const hex = next === "u" ? /^[0-9a-fA-F]{4}/.exec(this.#text.slice(i + 1))?.[0] : undefined;
      const escaped = hex === undefined ? ESCAPES[next] : String.fromCharCode(Number.parseInt(hex, 16));
      if (escaped === undefined) throw this.error(`unknown escape \\${next}`);
      out += escaped;
      if (hex !== undefined) i += 4;
    }
    throw this.error("a text is not closed");
  }
}
