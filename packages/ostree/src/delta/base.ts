import { OstreeDeltaError } from "../core/errors.ts";

/** Ranges of a stream of bytes, whose beginnings only go forward: what is before the last beginning is forgotten. */
export class BaseWindow {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #buffer: Buffer = Buffer.alloc(0);
  /** Where in the stream the buffer begins. */
  #start = 0;
  #done = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** @throws {OstreeDeltaError} the stream ends before */
  async range(offset: number, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    this.#forget(offset);
    if (this.#buffer.length > 0) parts.push(this.#buffer);
    let end = this.#start + this.#buffer.length;
    while (end < offset + length && !this.#done) {
      const { done, value } = await this.#iterator.next();
      this.#done = done === true;
      if (done === true) break;
      const chunk = value.subarray(Math.min(value.length, Math.max(0, offset - end)));
      end += value.length;
      if (chunk.length > 0) parts.push(chunk);
    }
    this.#buffer = parts.length === 1 ? Buffer.from(parts[0] as Uint8Array) : Buffer.concat(parts);
    this.#start = end - this.#buffer.length;
    if (end < offset + length)
      throw new OstreeDeltaError("a delta needs more bytes than its base has", { offset, length });
    return this.#buffer.subarray(offset - this.#start, offset - this.#start + length);
  }

  async close(): Promise<void> {
    if (!this.#done) await this.#iterator.return?.();
    this.#done = true;
  }

  #forget(offset: number): void {
    const drop = Math.min(this.#buffer.length, Math.max(0, offset - this.#start));
    this.#buffer = this.#buffer.subarray(drop);
    this.#start += drop;
  }
}
