import type { AppPlan, PodPlan } from "./plan.ts";
import { defaultSeccomp, type SeccompFilter } from "./seccomp.ts";

/** What crun 1.21 knows. Source: `crun features`. */
const OCI_VERSION = "1.1.0";

/** Where an app's root file system is mounted, in the mount namespace of its service. */
export const ROOTFS = "/run/rkt/mnt/rootfs";

/** One mount of config.json. */
export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** config.json of one app: the part of runtime-spec 1.1 that we fill. Source: runtime-spec config.md, config-linux.md. */
export interface OciConfig {
  readonly ociVersion: string;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly process: {
    readonly terminal: boolean;
    readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids?: readonly number[] };
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly capabilities: Readonly<
      Record<"bounding" | "effective" | "permitted" | "ambient" | "inheritable", readonly string[]>
    >;
    readonly noNewPrivileges: boolean;
    readonly oomScoreAdj?: number;
    readonly rlimits?: readonly { readonly type: string; readonly soft: number; readonly hard: number }[];
  };
  readonly mounts: readonly OciMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly seccomp?: SeccompFilter;
    readonly maskedPaths?: readonly string[];
    readonly readonlyPaths?: readonly string[];
    readonly sysctl?: Readonly<Record<string, string>>;
    readonly resources: { readonly devices: readonly { readonly allow: boolean; readonly access: string }[] };
    readonly rootfsPropagation: "private";
  };
}

/** What of /proc and /sys tells about the machine or changes it; hidden. Source: rkt and Docker, the union. */
const MASKED: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/config.gz",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/keys",
  "/proc/kmem",
  "/proc/latency_stats",
  "/proc/mem",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
  "/sys/fs/selinux",
  "/sys/hypervisor",
  "/sys/module",
  "/sys/power",
];

const READ_ONLY: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/**
 * The OCI config of one app. `podDirectory` is where the pod's files are: volumes, resolv.conf, hosts. `isTerminal`
 * gives the app a terminal of its own.
 */
export function ociConfig(plan: PodPlan, app: AppPlan, podDirectory: string, isTerminal = false): OciConfig {
  const { process } = app;
  const ownSysctls = plan.network.kind === "host" ? withoutNet(plan.sysctls) : plan.sysctls;
  return {
    ociVersion: OCI_VERSION,
    root: { path: ROOTFS, readonly: app.readOnlyRootfs },
    hostname: plan.hostname,
    process: {
      terminal: isTerminal,
      user: {
        uid: process.user.uid,
        gid: process.user.gid,
        ...(process.user.additionalGids.length === 0 ? {} : { additionalGids: process.user.additionalGids }),
      },
      args: process.args,
      env: process.env,
      cwd: process.cwd,
      capabilities: capabilitySets(app),
      noNewPrivileges: process.noNewPrivileges,
      ...(app.limits.oomScoreAdjust === undefined ? {} : { oomScoreAdj: app.limits.oomScoreAdjust }),
      ...(process.rlimits.length === 0 ? {} : { rlimits: process.rlimits }),
    },
    mounts: [...kernelMounts(app), ...fileMounts(plan, podDirectory), ...volumeMounts(plan, app, podDirectory)],
    annotations: app.annotations,
    linux: {
      namespaces: namespacesOf(plan),
      ...(app.seccomp === "none" ? {} : { seccomp: defaultSeccomp(process.capabilities, app.image.architecture) }),
      ...(app.protectPaths ? { maskedPaths: MASKED, readonlyPaths: READ_ONLY } : {}),
      ...(Object.keys(ownSysctls).length === 0 ? {} : { sysctl: ownSysctls }),
      // Nothing but the usual nodes of /dev, which every runtime allows by itself.
      resources: { devices: [{ allow: false, access: "rwm" }] },
      rootfsPropagation: "private",
    },
  };
}

/**
 * A user other than root gets its capabilities when it executes a file that has some: with none in its ambient set an
 * ordinary program of an ordinary user has none, as everywhere.
 */
function capabilitySets(app: AppPlan): OciConfig["process"]["capabilities"] {
  const all = app.process.capabilities;
  const own = app.process.user.uid === 0 ? all : [];
  return { bounding: all, effective: own, permitted: own, inheritable: [], ambient: [] };
}

/** The network is the service's own (systemd or unshare made it), so that plugins need no mount on the machine. */
function namespacesOf(plan: PodPlan): { type: string }[] {
  const own = plan.network.kind === "none" ? ["network"] : [];
  return ["pid", "mount", "ipc", "uts", "cgroup", ...own].map((type) => ({ type }));
}

function kernelMounts(app: AppPlan): OciMount[] {
  const strict = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: strict },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...strict, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: strict },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...strict, "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...strict, "relatime", "ro"] },
    ...(app.readOnlyRootfs
      ? ["/tmp", "/run"].map((destination) => ({
          destination,
          type: "tmpfs",
          source: "tmpfs",
          options: [...strict.filter((o) => o !== "noexec"), "mode=1777", "size=64m"],
        }))
      : []),
  ];
}

function fileMounts(plan: PodPlan, podDirectory: string): OciMount[] {
  const file = (name: string): OciMount => ({
    destination: `/etc/${name}`,
    type: "bind",
    source: `${podDirectory}/etc/${name}`,
    options: ["rbind", "rprivate", "ro", "nosuid", "nodev", "noexec"],
  });
  return [...(plan.dns.mode === "none" ? [] : [file("resolv.conf")]), file("hosts"), file("hostname")];
}

function volumeMounts(plan: PodPlan, app: AppPlan, podDirectory: string): OciMount[] {
  return app.mounts.map(({ volume: name, path, readOnly }) => {
    const volume = plan.volumes.find((each) => each.name === name);
    const isReadOnly = readOnly || volume?.readOnly === true;
    const bind = volume?.kind === "host" && !volume.recursive ? "bind" : "rbind";
    const source = volume?.kind === "host" ? volume.source : `${podDirectory}/volumes/${name}`;
    return { destination: path, type: "bind", source, options: [bind, "rprivate", isReadOnly ? "ro" : "rw", "nodev"] };
  });
}

function withoutNet(sysctls: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(sysctls).filter(([key]) => !key.startsWith("net.")));
}

/** /etc/hosts of the pod. The pod's own address is added when it has one. */
export function hostsFile(plan: PodPlan): string {
  const lines = [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost ip6-loopback",
    ...plan.hosts.map(({ ip, name }) => `${ip} ${name}`),
  ];
  if (plan.network.kind !== "cni") lines.push(`127.0.1.1 ${plan.hostname}`);
  return lines.map((line) => `${line}\n`).join("");
}
