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
  let position = 0;
  let values = 0;
  const fail = (problem: string) => new ImageDocumentError(what, `character ${position}`, problem);

  const skipSpace = () => {
    for (;;) {
      const c = text.charCodeAt(position);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      position++;
    }
  };
  const expect = (token: string) => {
    if (!text.startsWith(token, position)) throw fail(`not JSON: ${JSON.stringify(token)} was expected`);
    position += token.length;
  };
  const next = (token: string): boolean => {
    skipSpace();
    if (text[position] !== token) return false;
    position++;
    return true;
  };
  const string = (): string => {
    const start = position;
    expect('"');
    for (;;) {
      const c = text.charCodeAt(position);
      if (Number.isNaN(c) || c < 0x20) throw fail("not JSON: a string is not ended");
      position += c === 0x5c ? 2 : 1;
      if (c === 0x22) break;
    }
    // The built-in parser knows the escapes.
    return builtin(text.slice(start, position)) as string;
  };
  const builtin = (token: string): Json => {
    try {
      return JSON.parse(token) as Json;
    } catch {
      throw fail("not JSON: a bad string or number");
    }
  };
  const object = (depth: number): JsonObject => {
    const result = Object.create(null) as Record<string, Json>;
    expect("{");
    if (next("}")) return result;
    do {
      skipSpace();
      const key = string();
      if (Object.hasOwn(result, key)) throw fail(`the key ${JSON.stringify(key.slice(0, 100))} is there twice`);
      skipSpace();
      expect(":");
      result[key] = value(depth + 1);
    } while (next(","));
    expect("}");
    return result;
  };
  const array = (depth: number): readonly Json[] => {
    const result: Json[] = [];
    expect("[");
    if (next("]")) return result;
    do result.push(value(depth + 1));
    while (next(","));
    expect("]");
    return result;
  };
  const number = (): Json => {
    const token = /-?[0-9][0-9.eE+-]{0,40}/y;
    token.lastIndex = position;
    const found = token.exec(text)?.[0];
    if (found === undefined) throw fail("not JSON");
    position += found.length;
    return builtin(found);
  };
  const value = (depth: number): Json => {
    if (depth > DEPTH_MAX) throw fail(`nested deeper than ${DEPTH_MAX}`);
    if (++values > VALUES_MAX) throw fail(`more than ${VALUES_MAX} values`);
    skipSpace();
    switch (text.charAt(position)) {
      case "{":
        return object(depth);
      case "[":
        return array(depth);
      case '"':
        return string();
      case "t":
        expect("true");
        return true;
      case "f":
        expect("false");
        return false;
      case "n":
        expect("null");
        return null;
      default:
        return number();
    }
  };
  const result = value(0);
  skipSpace();
  if (position !== text.length) throw fail("not JSON: something follows the value");
  return result;
}
