/** Takes exact amounts from the front of a stream of chunks. */
export class ChunkReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #pending: Uint8Array = new Uint8Array();
  #done = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** The next `length` bytes; fewer when the stream ends before. */
  async upTo(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < length) {
      const chunk = this.#pending.length > 0 ? this.#pending : await this.#next();
      if (chunk === undefined) break;
      const part = chunk.subarray(0, length - have);
      this.#pending = chunk.subarray(part.length);
      parts.push(part);
      have += part.length;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  /** All that is left, as it comes. */
  async *rest(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#pending.length > 0) yield this.#pending;
    for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) yield chunk;
  }

  /** Gives up the rest of the stream. */
  async close(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await this.#iterator.return?.();
  }

  async #next(): Promise<Uint8Array | undefined> {
    if (this.#done) return undefined;
    const { done, value } = await this.#iterator.next();
    if (done === true) this.#done = true;
    return done === true ? undefined : value;
  }
}
