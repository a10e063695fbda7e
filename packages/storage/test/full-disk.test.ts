import { runProcess, tempDir } from "@keelson/testkit";
import { expect, it } from "vitest";

// A file system of its own needs a mount namespace.
const probe = await runProcess("unshare", ["-m", "true"]).catch(() => undefined);
const canMount = probe?.code === 0;
if (!canMount) process.stderr.write("skipped: the full disk needs unshare -m (Linux, root)\n");

it.skipIf(!canMount)(
  "stops at a full disk with a clear reason, and has all that was acknowledged when there is room again",
  async () => {
    await using dir = await tempDir("full");
    const script = `mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const program = `${import.meta.dirname}/full-disk-program.ts`;
    const result = await runProcess("unshare", ["-m", "sh", "-c", script, "sh", dir.path, process.execPath, program]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    const seen = JSON.parse(result.stdout) as {
      reasons: string[];
      acknowledged: number;
      found: number;
      isReadable: boolean;
    };
    expect(seen.reasons).toEqual(["no-space", "refused", "no-space"]);
    expect(seen.acknowledged).toBeGreaterThan(500);
    expect(seen.isReadable).toBe(true);
    // The batch that failed may be there or not.
    expect([seen.acknowledged, seen.acknowledged + 1]).toContain(seen.found);
  },
);
