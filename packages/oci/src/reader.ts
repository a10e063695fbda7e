import { type Digest, isDigest } from "./digest.ts";
import { ImageDocumentError } from "./errors.ts";
import { type Json, type JsonObject, parseJson } from "./json.ts";

/** Reads fields of a JSON document and says where something is wrong. `null` counts as absent, since Go writes it for empty lists. */
export class Reader {
  readonly what: string;
  readonly at: string;
  readonly #value: Json | undefined;

  constructor(what: string, value: Json | undefined, at = "") {
    this.what = what;
    this.at = at;
    this.#value = value ?? undefined;
  }

  /** Decodes and parses a document. @throws ImageDocumentError */
  static parse(what: string, bytes: Uint8Array, bytesMax: number): Reader {
    if (bytes.length > bytesMax) {
      throw new ImageDocumentError(what, "", `is ${bytes.length} bytes long; the limit is ${bytesMax}`);
    }
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new ImageDocumentError(what, "", "is not UTF-8");
    }
    const reader = new Reader(what, parseJson(text, what));
    reader.object();
    return reader;
  }

  get isPresent(): boolean {
    return this.#value !== undefined;
  }

  fail(problem: string): ImageDocumentError {
    return new ImageDocumentError(this.what, this.at, problem);
  }

  object(): JsonObject {
    const value = this.#value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.fail("is not an object");
    return value as JsonObject;
  }

  field(name: string): Reader {
    return new Reader(this.what, this.object()[name], this.at === "" ? name : `${this.at}.${name}`);
  }

  /** Elements of a list; none when it is absent. */
  list(countMax: number): Reader[] {
    const value = this.#value;
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.fail("is not a list");
    if (value.length > countMax) throw this.fail(`has ${value.length} elements; the limit is ${countMax}`);
    return value.map((element: Json, i) => new Reader(this.what, element, `${this.at}[${i}]`));
  }

  string(lengthMax = 4096): string {
    const value = this.#value;
    if (typeof value !== "string") throw this.fail(value === undefined ? "is missing" : "is not a string");
    if (value.length > lengthMax) throw this.fail(`is longer than ${lengthMax} characters`);
    return value;
  }

  optionalString(lengthMax = 4096): string | undefined {
    return this.isPresent ? this.string(lengthMax) : undefined;
  }

  /** A string that a kernel would take: without NUL. */
  cString(lengthMax: number): string {
    const value = this.string(lengthMax);
    if (value.includes("\0")) throw this.fail("has a NUL character");
    return value;
  }

  strings(countMax: number, lengthMax = 4096): string[] {
    return this.list(countMax).map((element) => element.cString(lengthMax));
  }

  integer(max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value;
    if (typeof value !== "number") throw this.fail(value === undefined ? "is missing" : "is not a number");
    if (!Number.isSafeInteger(value) || value < 0 || value > max) throw this.fail(`is not an integer of 0 to ${max}`);
    return value;
  }

  digest(): Digest {
    const text = this.string();
    if (!isDigest(text)) throw this.fail("is not a digest such as sha256:<64 lower-case hex digits>");
    return text;
  }

  /** A map of strings. */
  stringMap(countMax: number, lengthMax: number): Record<string, string> {
    const result: Record<string, string> = Object.create(null);
    for (const [key, field] of this.entries(countMax)) result[key] = field.string(lengthMax);
    return result;
  }

  /** The fields of an object; none when it is absent. */
  entries(countMax: number): [string, Reader][] {
    if (!this.isPresent) return [];
    const keys = Object.keys(this.object());
    if (keys.length > countMax) throw this.fail(`has ${keys.length} fields; the limit is ${countMax}`);
    return keys.map((key) => [key, this.field(key)]);
  }
}
