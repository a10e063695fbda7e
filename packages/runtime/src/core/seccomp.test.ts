import { expect, it } from "vitest";
import { CAPABILITIES, capabilityName, DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { defaultSeccomp } from "./seccomp.ts";

const actionOf = (name: string, capabilities: readonly string[]) => {
  const rules = defaultSeccomp(capabilities, "amd64").syscalls.filter(
    (rule) => rule.names.includes(name) && rule.args === undefined,
  );
  return rules.map(({ action, errnoRet }) => (action === "SCMP_ACT_ALLOW" ? "allow" : errnoRet)).join();
};

it.each([
  ["read", "allow", "allow"],
  ["bpf", "1", "allow"],
  ["init_module", "1", "allow"],
  ["settimeofday", "1", "allow"],
  ["chroot", "allow", "allow"],
  ["kexec_load", "1", "1"],
  ["io_uring_setup", "", ""],
  ["arch_prctl", "allow", "allow"],
])("%s: %s by default, %s with every capability", (name, usual, all) => {
  expect(actionOf(name, DEFAULT_CAPABILITIES)).toBe(usual);
  expect(actionOf(name, CAPABILITIES)).toBe(all);
});

it("answers ENOSYS to what it does not know, and hides audit", () => {
  const filter = defaultSeccomp(DEFAULT_CAPABILITIES, "amd64");
  expect(filter).toMatchObject({ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 38 });
  expect(filter.syscalls.filter((rule) => rule.names.includes("socket"))).toHaveLength(3);
  expect(new Set(filter.syscalls.flatMap(({ names }) => names)).size).toBeGreaterThan(350);
});

it("has eleven capabilities by default and knows them by any spelling", () => {
  expect(DEFAULT_CAPABILITIES).toHaveLength(11);
  for (const name of DEFAULT_CAPABILITIES) expect(CAPABILITIES).toContain(name);
  expect([capabilityName("net_raw"), capabilityName("CAP_NET_RAW"), capabilityName("x")]).toEqual([
    "CAP_NET_RAW",
    "CAP_NET_RAW",
    undefined,
  ]);
});
