import { ALWAYS_ALLOWED, ALWAYS_DENIED, BY_ARCHITECTURE, BY_CAPABILITY, PERSONALITIES } from "./seccomp-data.ts";

/** An argument that a rule looks at. Source: runtime-spec config-linux.md, "Seccomp". */
export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_NE";
}

/** One rule of a filter. */
export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

/** `linux.seccomp` of config.json. */
export interface SeccompFilter {
  readonly defaultAction: "SCMP_ACT_ERRNO";
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

const EPERM = 1;
const EINVAL = 22;
const ENOSYS = 38;
const AF_NETLINK = 16;
const NETLINK_AUDIT = 9;

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

/**
 * The default filter for a container with these capabilities: what is not listed does not exist (ENOSYS, so that C
 * libraries fall back), what needs a capability the container lacks is refused (EPERM).
 */
export function defaultSeccomp(capabilities: readonly string[], architecture: string): SeccompFilter {
  const held = new Set(capabilities);
  const allowed = [...ALWAYS_ALLOWED, ...(BY_ARCHITECTURE[architecture] ?? [])];
  const denied = [...ALWAYS_DENIED];
  for (const [capability, names] of Object.entries(BY_CAPABILITY))
    (held.has(capability) ? allowed : denied).push(...names);
  const rules: SeccompRule[] = [
    { names: sorted(allowed), action: "SCMP_ACT_ALLOW" },
    { names: sorted(denied.filter((name) => !allowed.includes(name))), action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
    ...PERSONALITIES.map((value) => rule("personality", [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
    ...socketRules(held.has("CAP_AUDIT_WRITE")),
  ];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    architectures: ARCHITECTURES[architecture] ?? [],
    syscalls: rules,
  };
}

/** Audit netlink is for those who may write audit records. The family and the protocol are both looked at. */
function socketRules(mayAudit: boolean): SeccompRule[] {
  if (mayAudit) return [{ names: ["socket"], action: "SCMP_ACT_ALLOW" }];
  return [
    {
      names: ["socket"],
      action: "SCMP_ACT_ERRNO",
      errnoRet: EINVAL,
      args: [
        { index: 0, value: AF_NETLINK, op: "SCMP_CMP_EQ" },
        { index: 2, value: NETLINK_AUDIT, op: "SCMP_CMP_EQ" },
      ],
    },
    rule("socket", [{ index: 2, value: NETLINK_AUDIT, op: "SCMP_CMP_NE" }]),
    rule("socket", [{ index: 0, value: AF_NETLINK, op: "SCMP_CMP_NE" }]),
  ];
}

function rule(name: string, args: readonly SeccompArgument[]): SeccompRule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args };
}

function sorted(names: readonly string[]): string[] {
  return [...new Set(names)].toSorted();
}
