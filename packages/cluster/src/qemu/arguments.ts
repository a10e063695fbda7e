/** How CPUs run. */
export type Acceleration = "kvm" | "tcg";

/** A virtual machine, as QEMU has to be told of it. */
export interface VmOptions {
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly initramfs: string;
  readonly disk: { readonly file: string; readonly format: "qcow2" | "raw"; readonly snapshot?: boolean };
  readonly machineId?: string | undefined;
  readonly hostname?: string | undefined;
  /** fw_cfg files: name → path on the host. */
  readonly fwCfg?: Readonly<Record<string, string>>;
  /** Further arguments: serial port, cards, sockets. */
  readonly extra?: readonly string[];
  readonly kernelArguments?: readonly string[];
  /** Whether the console shows only what goes wrong, and the boot report; default true. A line costs milliseconds. */
  readonly isQuiet?: boolean;
}

/**
 * A CPU without what emulation does slowly (AVX2 in glibc, `rep movsb`) and with RDRAND, so that the kernel's random
 * numbers are ready before anything asks. Measured against `max`: a third less CPU time for a boot.
 */
const EMULATED_CPU = "qemu64,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16";

/**
 * Kernel arguments for emulated machines: no mitigations against speculation that does not happen there, no self-tests
 * of ciphers, no security modules that have no policy. 30 % fewer instructions to multi-user.
 */
const EMULATED_KERNEL = [
  "mitigations=off",
  "lsm=landlock,yama",
  "audit=0",
  "nowatchdog",
  "no_timer_check",
  "cryptomgr.notests",
];

/** The command line of the kernel. Pure. */
export function kernelCommandLine(options: VmOptions): string {
  return [
    "console=ttyS0",
    "root=PARTLABEL=root",
    "panic=-1",
    ...(options.isQuiet === false ? ["systemd.show_status=1"] : ["quiet"]),
    ...(options.acceleration === "tcg" ? EMULATED_KERNEL : []),
    ...(options.machineId === undefined ? [] : [`systemd.machine_id=${options.machineId}`]),
    ...(options.hostname === undefined ? [] : [`systemd.hostname=${options.hostname}`]),
    ...(options.kernelArguments ?? []),
  ].join(" ");
}

/** QEMU's arguments. Commas in paths are doubled, as QEMU's option syntax wants. Pure. */
export function qemuArguments(options: VmOptions): string[] {
  const { disk } = options;
  const tcg = options.acceleration === "tcg";
  // A guest's flush goes no further than the host's page cache: it survives SIGKILL of QEMU, which is the power cut
  // that tests make, and costs no fsync on the host.
  const drive = `if=none,id=root,file=${escapeCommas(disk.file)},format=${disk.format},cache=unsafe`;
  return [
    ["-nodefaults", "-no-user-config", "-no-reboot"],
    ["-display", "none"],
    ["-machine", "q35,hpet=off,vmport=off"],
    ["-accel", tcg ? "tcg,thread=multi" : "kvm"],
    ["-cpu", tcg ? EMULATED_CPU : "host"],
    ["-smp", String(options.cpus)],
    ["-m", String(options.memoryMiB)],
    ["-kernel", options.kernel],
    ["-initrd", options.initramfs],
    ["-append", kernelCommandLine(options)],
    ["-drive", `${drive}${disk.snapshot === true ? ",snapshot=on" : ""}`],
    ["-device", "virtio-blk-pci,drive=root"],
    ...Object.entries(options.fwCfg ?? {}).map(([name, file]) => [
      "-fw_cfg",
      `name=${name},file=${escapeCommas(file)}`,
    ]),
    options.extra ?? [],
  ].flat();
}

/** Pure. */
export function escapeCommas(path: string): string {
  return path.replaceAll(",", ",,");
}
