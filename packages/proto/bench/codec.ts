// Encode and decode of a 10-key RangeResponse (256 B values), microseconds a message: `node bench/codec.ts`.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RangeResponseSchema } from "../src/index.ts";

const response = create(RangeResponseSchema, {
  header: { clusterId: 0xcdf818194e3a8c32n, memberId: 0x8e9e05c52164694dn, revision: 1_000_000n, raftTerm: 7n },
  count: 10n,
  kvs: Array.from({ length: 10 }, (_, i) => ({
    key: new TextEncoder().encode(`/registry/pods/default/pod-${i}`),
    value: new Uint8Array(256).fill(i),
    createRevision: 900_000n + BigInt(i),
    modRevision: 950_000n + BigInt(i),
    version: 3n,
    lease: 0n,
  })),
});
const bytes = toBinary(RangeResponseSchema, response);

function median(name: string, fn: () => void): void {
  const runs: number[] = [];
  for (let run = 0; run < 9; run++) {
    const start = performance.now();
    for (let i = 0; i < 5_000; i++) fn();
    runs.push(((performance.now() - start) * 1_000) / 5_000);
  }
  runs.sort((a, b) => a - b);
  console.log(`${name}: median ${runs[4]?.toFixed(2)} µs (${runs[0]?.toFixed(2)} to ${runs[8]?.toFixed(2)})`);
}

console.log(`RangeResponse of 10 keys, ${bytes.length} bytes`);
median("encode", () => toBinary(RangeResponseSchema, response));
median("decode", () => fromBinary(RangeResponseSchema, bytes));
