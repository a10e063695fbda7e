import { tempDir } from "@keelson/testkit";
import { describe } from "vitest";
import { espFsContract } from "./contract.ts";
import { MountedEsp } from "./esp-fs.ts";
import { SimEsp } from "./testing/index.ts";

describe("a folder", () => {
  espFsContract(async () => {
    const dir = await tempDir("esp");
    return { fs: new MountedEsp(dir.path), [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
  });
});

describe("a simulated ESP", () => {
  espFsContract(async () => ({ fs: new SimEsp({ capacityBytes: 1 << 20 }), async [Symbol.asyncDispose]() {} }));
});
