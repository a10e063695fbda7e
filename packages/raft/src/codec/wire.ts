import { RaftDecodeError } from "../errors.ts";
import { varintBytes } from "../size.ts";

// The protobuf wire format, as far as raftpb needs it.

/** Wire types. Groups (3, 4) are not used by anyone any more and are refused. */
export const VARINT = 0;
/** Eight bytes. */
export const FIXED64 = 1;
/** A length and as many bytes. */
export const BYTES = 2;
/** Four bytes. */
export const FIXED32 = 5;

const scratch = new DataView(new ArrayBuffer(8));

/** Bytes of the varint of a 64-bit id. */
export function idBytes(id: bigint): number {
  if (id <= 0x7fff_ffffn) return varintBytes(Number(id));
  scratch.setBigUint64(0, id);
  const hi = scratch.getUint32(0);
  if (hi < 0x20_0000) return varintBytes(hi * 0x1_0000_0000 + scratch.getUint32(4));
  return hi >= 0x8000_0000 ? 10 : hi >= 0x100_0000 ? 9 : 8;
}

/** Writes into a buffer of the exact size, which the caller computed. */
export class WireWriter {
  readonly bytes: Uint8Array;
  pos = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  varint(value: number): void {
    let v = value;
    while (v >= 0x8000_0000) {
      this.bytes[this.pos++] = (v % 128) | 0x80;
      v = Math.floor(v / 128);
    }
    while (v >= 0x80) {
      this.bytes[this.pos++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    this.bytes[this.pos++] = v;
  }

  /** A 64-bit value that may exceed a safe integer. */
  id(id: bigint): void {
    if (id <= 0x7fff_ffffn) {
      this.varint(Number(id));
      return;
    }
    scratch.setBigUint64(0, id);
    let lo = scratch.getUint32(4);
    let hi = scratch.getUint32(0);
    while (hi !== 0 || lo >= 0x80) {
      this.bytes[this.pos++] = (lo & 0x7f) | 0x80;
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    this.bytes[this.pos++] = lo;
  }

  /** Field numbers here are all below 16, so that a tag is one byte. */
  tag(field: number, wireType: number): void {
    this.bytes[this.pos++] = (field << 3) | wireType;
  }

  uint(field: number, value: number): void {
    this.tag(field, VARINT);
    this.varint(value);
  }

  idField(field: number, value: bigint): void {
    this.tag(field, VARINT);
    this.id(value);
  }

  data(field: number, data: Uint8Array): void {
    this.header(field, data.length);
    this.bytes.set(data, this.pos);
    this.pos += data.length;
  }

  /** Announces an embedded message of `size` bytes. */
  header(field: number, size: number): void {
    this.tag(field, BYTES);
    this.varint(size);
  }
}

/** Reads one message; every failure is a {@link RaftDecodeError} that says where. */
export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  readonly #end: number;
  #pos: number;
  #lo = 0;
  #hi = 0;
  /** Of the tag read last. */
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array, what: string, from = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#what = what;
    this.#pos = from;
    this.#end = end;
  }

  fail(why: string): never {
    throw new RaftDecodeError(`cannot decode ${this.#what}: ${why} at byte ${this.#pos}`, { offset: this.#pos });
  }

  /** Moves to the next field. False at the end. */
  next(): boolean {
    if (this.#pos >= this.#end) return false;
    this.#varint();
    const tag = this.#lo;
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.#hi !== 0 || this.field === 0) this.fail("illegal tag");
    return true;
  }

  /** A non-negative integer. Beyond 2^53 - 1 it is an error: no term, index or size gets there. */
  uint(): number {
    this.#expect(VARINT);
    this.#varint();
    if (this.#hi > 0x1f_ffff) this.fail(`field ${this.field} exceeds the largest safe integer`);
    return this.#hi * 0x1_0000_0000 + this.#lo;
  }

  /** Any unsigned 64-bit value. */
  id(): bigint {
    this.#expect(VARINT);
    this.#varint();
    return this.#toBigint();
  }

  bool(): boolean {
    this.#expect(VARINT);
    this.#varint();
    return this.#lo !== 0 || this.#hi !== 0;
  }

  /** One of a closed list of names. */
  oneOf<T>(names: readonly T[]): T {
    this.#expect(VARINT);
    this.#varint();
    const name = this.#hi === 0 ? names[this.#lo] : undefined;
    return name ?? this.fail(`field ${this.field} has an unknown value`);
  }

  /** A view of the input, not a copy. */
  data(): Uint8Array {
    const [from, to] = this.#span();
    return this.#bytes.subarray(from, to);
  }

  /** An embedded message. */
  message(what: string): WireReader {
    const [from, to] = this.#span();
    return new WireReader(this.#bytes, what, from, to);
  }

  /** One element of a repeated id, or all of them when packed. */
  ids(into: bigint[]): void {
    if (this.wireType === VARINT) {
      into.push(this.id());
      return;
    }
    const [from, to] = this.#span();
    this.#pos = from;
    while (this.#pos < to) {
      this.#varint();
      into.push(this.#toBigint());
    }
    if (this.#pos !== to) this.fail(`field ${this.field} ends inside a number`);
  }

  /** Passes over a field that this version does not know. */
  skip(): void {
    switch (this.wireType) {
      case VARINT:
        this.#varint();
        return;
      case FIXED64:
        this.#advance(8);
        return;
      case BYTES:
        this.#span();
        return;
      case FIXED32:
        this.#advance(4);
        return;
      default:
        this.fail(`field ${this.field} has wire type ${this.wireType}`);
    }
  }

  #expect(wireType: number): void {
    if (this.wireType !== wireType) this.fail(`field ${this.field} has wire type ${this.wireType}, not ${wireType}`);
  }

  #span(): [from: number, to: number] {
    this.#expect(BYTES);
    this.#varint();
    if (this.#hi !== 0) this.fail(`field ${this.field} is longer than the message`);
    const from = this.#pos;
    this.#advance(this.#lo);
    return [from, this.#pos];
  }

  #advance(count: number): void {
    if (count > this.#end - this.#pos) this.fail(`field ${this.field} is longer than the message`);
    this.#pos += count;
  }

  #toBigint(): bigint {
    scratch.setUint32(0, this.#hi);
    scratch.setUint32(4, this.#lo);
    return scratch.getBigUint64(0);
  }

  #varint(): void {
    let lo = 0;
    let hi = 0;
    for (let i = 0; i < 10; i++) {
      if (this.#pos >= this.#end) this.fail("unexpected end");
      const byte = this.#bytes[this.#pos++] as number;
      const bits = byte & 0x7f;
      if (i < 4) {
        lo |= bits << (7 * i);
      } else if (i === 4) {
        lo |= bits << 28;
        hi |= bits >>> 4;
      } else if (i < 9) {
        hi |= bits << (7 * i - 32);
      } else {
        if (byte > 1) this.fail("varint overflows 64 bits");
        hi |= bits << 31;
      }
      if (byte < 0x80) {
        this.#lo = lo >>> 0;
        this.#hi = hi >>> 0;
        return;
      }
    }
    this.fail("varint overflows 64 bits");
  }
}
