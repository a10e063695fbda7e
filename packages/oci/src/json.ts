import { ImageDocumentError } from "./errors.ts";

/** JSON as it is parsed. Objects have no prototype. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Deepest nesting that is read. */
const DEPTH_MAX = 64;
/** Values of one document, so that a small text cannot become a large heap. */
const VALUES_MAX = 200_000;

/**
 * Parses JSON as `JSON.parse` does, and refuses what it lets pass: a key twice in one object (two readers would see two images), nesting beyond
 * 64, more than 200,000 values.
 *
 * @param what names the document in errors
 * @throws ImageDocumentError
 */
export function parseJson(text: string, what: string): Json {
  return new JsonParser(text, what).document();
}

class JsonParser {
  readonly #text: string;
  readonly #what: string;
  #position = 0;
  #values = 0;

  constructor(text: string, what: string) {
    this.#text = text;
    this.#what = what;
  }

  document(): Json {
    const result = this.#value(0);
    this.#skipSpace();
    if (this.#position !== this.#text.length) throw this.#fail("not JSON: something follows the value");
    return result;
  }

  #fail(problem: string): ImageDocumentError {
    return new ImageDocumentError(this.#what, `character ${this.#position}`, problem);
  }

  #skipSpace(): void {
    for (;;) {
      const c = this.#text.charCodeAt(this.#position);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.#position++;
    }
  }

  #expect(token: string): void {
    if (!this.#text.startsWith(token, this.#position)) {
      throw this.#fail(`not JSON: ${JSON.stringify(token)} was expected`);
    }
    this.#position += token.length;
  }

  /** Takes `token` if it comes next. */
  #takes(token: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== token) return false;
    this.#position++;
    return true;
  }

  #value(depth: number): Json {
    if (depth > DEPTH_MAX) throw this.#fail(`nested deeper than ${DEPTH_MAX}`);
    if (++this.#values > VALUES_MAX) throw this.#fail(`more than ${VALUES_MAX} values`);
    this.#skipSpace();
    switch (this.#text.charAt(this.#position)) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        this.#expect("true");
        return true;
      case "f":
        this.#expect("false");
        return false;
      case "n":
        this.#expect("null");
        return null;
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonObject {
    const result = Object.create(null) as Record<string, Json>;
    this.#expect("{");
    if (this.#takes("}")) return result;
    do {
      this.#skipSpace();
      const key = this.#string();
      if (Object.hasOwn(result, key)) throw this.#fail(`the key ${JSON.stringify(key.slice(0, 100))} is there twice`);
      this.#skipSpace();
      this.#expect(":");
      result[key] = this.#value(depth + 1);
    } while (this.#takes(","));
    this.#expect("}");
    return result;
  }

  #array(depth: number): readonly Json[] {
    const result: Json[] = [];
    this.#expect("[");
    if (this.#takes("]")) return result;
    do result.push(this.#value(depth + 1));
    while (this.#takes(","));
    this.#expect("]");
    return result;
  }

  #string(): string {
    const start = this.#position;
    this.#expect('"');
    for (;;) {
      const c = this.#text.charCodeAt(this.#position);
      if (Number.isNaN(c) || c < 0x20) throw this.#fail("not JSON: a string is not ended");
      this.#position += c === 0x5c ? 2 : 1;
      if (c === 0x22) break;
    }
    // The built-in parser knows the escapes.
    return this.#builtin(this.#text.slice(start, this.#position)) as string;
  }

  #number(): Json {
    const token = /-?[0-9][0-9.eE+-]{0,40}/y;
    token.lastIndex = this.#position;
    const found = token.exec(this.#text)?.[0];
    if (found === undefined) throw this.#fail("not JSON");
    this.#position += found.length;
    return this.#builtin(found);
  }

  #builtin(token: string): Json {
    try {
      return JSON.parse(token) as Json;
    } catch {
      throw this.#fail("not JSON: a bad string or number");
    }
  }
}
