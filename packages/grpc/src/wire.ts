// The small codecs of the gRPC HTTP/2 mapping: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout` value, or undefined when it is malformed. */
export function parseTimeout(value: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(value)) return undefined;
  return Number(value.slice(0, -1)) * (UNIT_MS[value.slice(-1)] ?? 1);
}

/** Percent-encodes a status message: bytes outside space to `~`, and `%`, become `%XX`. */
export function encodeGrpcMessage(message: string): string {
  // Nearly every message is plain ASCII.
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  let out = "";
  for (const byte of Buffer.from(message, "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/** The reverse of {@link encodeGrpcMessage}; malformed escapes are kept as they are. */
export function decodeGrpcMessage(message: string): string {
  if (!message.includes("%")) return message;
  const bytes: number[] = [];
  const source = Buffer.from(message, "utf8");
  for (let i = 0; i < source.length; i++) {
    const hex = source.subarray(i + 1, i + 3).toString("latin1");
    if (source[i] === 0x25 && /^[0-9A-Fa-f]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else bytes.push(source[i] ?? 0);
  }
  return Buffer.from(bytes).toString("utf8");
}
