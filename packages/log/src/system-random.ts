import { randomBytes, randomInt } from "node:crypto";
import type { Random } from "@keelson/types";

/** The {@link Random} of real machines: the kernel's generator. */
export class SystemRandom implements Random {
  below(bound: number): number {
    return bound <= 2 ** 47 ? randomInt(bound) : Number(this.u64() % BigInt(bound));
  }

  u64(): bigint {
    return randomBytes(8).readBigUInt64BE();
  }
}
