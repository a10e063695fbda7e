import fc from "fast-check";
import { expect, it } from "vitest";
import { bootedIdOf, bootPathOf, parseDeploymentId } from "./deployment.ts";
import { formatOrigin, parseOrigin } from "./origin.ts";

const SUM = "0123456789abcdef".repeat(4);

it("reads what upstream's programs write", () => {
  const text = "[origin]\nrefspec=fedora:fedora/x86_64\n\n[libostree-transient]\npinned=true\n";
  expect(parseOrigin(text, "x.origin")).toEqual({
    origin: { refspec: "fedora:fedora/x86_64" },
    kernelArgs: [],
    pinned: true,
    sequence: 0,
  });
  expect(() => parseOrigin("garbage", "x.origin")).toThrow(/x.origin is no origin file/);
});

it("writes what it reads", () => {
  const text = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
    .filter((value) => !/[\0\ud800-\udfff]/.test(value));
  const file = fc.record({
    origin: fc.record({ refspec: fc.constantFrom("up:os/stable", "main"), url: fc.webUrl() }, { requiredKeys: [] }),
    kernelArgs: fc.array(text, { maxLength: 5 }),
    pinned: fc.boolean(),
    sequence: fc.nat({ max: 999_999_999 }),
  });
  fc.assert(
    fc.property(file, (value) => {
      expect(parseOrigin(formatOrigin(value), "x")).toEqual(value);
    }),
  );
});

it.each([
  ["nothing", "BOOT_IMAGE=/vmlinuz root=/dev/vda4 quiet", undefined],
  ["ours", `quiet ostree=${bootPathOf(`${SUM}.0`)} rw`, `${SUM}.0`],
  ["ours, at the end of a line", `ostree=${bootPathOf(`${SUM}.12`)}\n`, `${SUM}.12`],
  ["the last of two", `ostree=${bootPathOf(`${SUM}.1`)} ostree=${bootPathOf(`${SUM}.2`)}`, `${SUM}.2`],
  ["another program's", `ostree=/ostree/boot.1/keelson/${SUM}/0`, undefined],
  ["no path of a deployment", `ostree=${bootPathOf("../../etc")}`, undefined],
  ["a longer word", `not-ostree=${bootPathOf(`${SUM}.0`)}`, undefined],
])("on a kernel command line with %s", (_title, cmdline, id) => {
  expect(bootedIdOf(cmdline)).toBe(id);
});

it("tells ids from other names", () => {
  expect(parseDeploymentId(`${SUM}.3`)).toEqual({ checksum: SUM, serial: 3 });
  for (const other of [
    `${SUM}`,
    `${SUM}.`,
    `${SUM}.01`,
    `${SUM}.-1`,
    `.${SUM}.1`,
    `${SUM}.1.origin`,
    SUM.toUpperCase(),
  ]) {
    expect(parseDeploymentId(other)).toBeUndefined();
  }
});
