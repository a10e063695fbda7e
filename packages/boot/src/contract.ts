import { expect, it } from "vitest";
import type { EspFs } from "./esp-fs.ts";

const bytes = (content: string) => new TextEncoder().encode(content);
const text = (content: Uint8Array | undefined) => new TextDecoder().decode(content);

/** What every {@link EspFs} does. `make` gives an empty one. */
export function espFsContract(make: () => Promise<{ fs: EspFs } & AsyncDisposable>): void {
  it("a missing folder is empty, a missing file undefined", async () => {
    await using at = await make();
    expect(await at.fs.list("/a")).toEqual([]);
    expect(await at.fs.read("/a/b")).toBeUndefined();
    await at.fs.makeDirectory("/a");
    await at.fs.removeFile("/a/b");
    await at.fs.removeDirectory("/a/b");
  });

  it("files are written, replaced, changed in place, renamed and removed", async () => {
    await using at = await make();
    const { fs } = at;
    await fs.makeDirectory("/a");
    await fs.makeDirectory("/a");
    await fs.write("/a/one", bytes("hello"));
    await fs.write("/a/one", bytes("hi"));
    expect(text(await fs.read("/a/one"))).toBe("hi");
    await fs.write("/a/one", bytes("abcdef"));
    await fs.writeAt("/a/one", 2, bytes("XY"));
    expect(text(await fs.read("/a/one"))).toBe("abXYef");
    await fs.sync("/a/one");
    await fs.sync("/a");
    await fs.rename("/a/one", "/a/two+3-1.conf");
    expect(await fs.list("/a")).toEqual([{ name: "two+3-1.conf", isDirectory: false }]);
    expect(await fs.list("/")).toEqual([{ name: "a", isDirectory: true }]);
    await expect(fs.removeDirectory("/a")).rejects.toThrow(/ENOTEMPTY/);
    await fs.removeFile("/a/two+3-1.conf");
    await fs.removeDirectory("/a");
    expect(await fs.list("/")).toEqual([]);
  });

  it("says how much room there is", async () => {
    await using at = await make();
    const { freeBytes, clusterBytes } = await at.fs.space();
    expect(freeBytes).toBeGreaterThan(clusterBytes);
    expect(Number.isInteger(clusterBytes) && clusterBytes >= 512).toBe(true);
  });
}
