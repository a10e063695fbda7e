import type { IncomingHttpHeaders } from "node:http";

/** Names and values beside the messages of a call. Names are lower case; those ending in `-bin` hold bytes. */
export class Metadata {
  readonly #values = new Map<string, string[]>();

  /** From plain text values; `undefined` is skipped. */
  static of(init: Readonly<Record<string, string | undefined>>): Metadata {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(init)) if (value !== undefined) metadata.add(name, value);
    return metadata;
  }

  /** The first value of a text name. */
  get(name: string): string | undefined {
    return this.#values.get(name.toLowerCase())?.[0];
  }

  /** Every value of a text name. */
  getAll(name: string): readonly string[] {
    return this.#values.get(name.toLowerCase()) ?? [];
  }

  /** The first value of a `-bin` name. */
  getBytes(name: string): Uint8Array | undefined {
    const text = this.get(name);
    return text === undefined ? undefined : new Uint8Array(Buffer.from(text, "base64"));
  }

  /** Adds a value. Bytes need a name ending in `-bin`. */
  add(name: string, value: string | Uint8Array): this {
    const key = name.toLowerCase();
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [text]);
    else values.push(text);
    return this;
  }

  /** Names with their values as they go over the wire (bytes in base64). */
  *[Symbol.iterator](): IterableIterator<readonly [string, readonly string[]]> {
    yield* this.#values;
  }
}

// Headers that are the transport's, not the caller's.
const RESERVED = new Set(["te", "content-type", "user-agent", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding"]);

/** What a caller added to its request headers. */
export function metadataFromHeaders(headers: IncomingHttpHeaders): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || RESERVED.has(name) || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) metadata.add(name, one);
  }
  return metadata;
}
