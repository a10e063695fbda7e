/** How CPUs run. */
export type Acceleration = "kvm" | "tcg";

/**
 * How a machine starts. `direct`: QEMU loads the kernel. `bios`: SeaBIOS and what is in the disk's MBR. `uefi`: OVMF, with
 * variables of the machine's own.
 */
export type Firmware =
  | { readonly kind: "direct"; readonly kernel: string; readonly initramfs: string; readonly options?: string }
  | { readonly kind: "bios" }
  | { readonly kind: "uefi"; readonly code: string; readonly variables: string };

/** A disk: a file, with all writes of a run in memory if `snapshot`; or an NBD server's socket. */
export type VmDisk =
  | { readonly file: string; readonly format: "qcow2" | "raw"; readonly snapshot?: boolean }
  | { readonly nbdSocket: string };

/** A virtual machine, as QEMU has to be told of it. */
export interface VmOptions {
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly firmware: Firmware;
  readonly disk: VmDisk;
  readonly machineId?: string | undefined;
  readonly hostname?: string | undefined;
  /** fw_cfg files: name → path on the host. */
  readonly fwCfg?: Readonly<Record<string, string>>;
  /** Further arguments: serial port, cards, sockets. */
  readonly extra?: readonly string[];
  /** Of direct boots; a boot loader has its own. */
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

/** The arguments of a machine's own: what it is and what runs it, whatever its image says. Pure. */
export function machineArguments(options: Omit<VmOptions, "disk" | "firmware">): string[] {
  return [
    "console=ttyS0",
    "panic=-1",
    ...(options.isQuiet === false ? ["systemd.show_status=1"] : ["quiet"]),
    ...(options.acceleration === "tcg" ? EMULATED_KERNEL : []),
    ...(options.machineId === undefined ? [] : [`systemd.machine_id=${options.machineId}`]),
    ...(options.hostname === undefined ? [] : [`systemd.hostname=${options.hostname}`]),
    ...(options.kernelArguments ?? []),
  ];
}

/** The command line of a kernel that QEMU loads. Pure. */
export function kernelCommandLine(options: VmOptions): string {
  const entry = options.firmware.kind === "direct" ? options.firmware.options : undefined;
  const first = entry === undefined ? ["root=PARTLABEL=root"] : [...entry.split(" "), "keelson.loader=direct"];
  return [...new Set([...first, ...machineArguments(options)])].join(" ");
}

/** QEMU's arguments. Commas in paths are doubled, as QEMU's option syntax wants. Pure. */
export function qemuArguments(options: VmOptions): string[] {
  const tcg = options.acceleration === "tcg";
  return [
    ["-nodefaults", "-no-user-config"],
    ["-display", "none"],
    ["-machine", "q35,hpet=off,vmport=off"],
    ["-accel", tcg ? "tcg,thread=multi" : "kvm"],
    ["-cpu", tcg ? EMULATED_CPU : "host"],
    ["-smp", String(options.cpus)],
    ["-m", String(options.memoryMiB)],
    firmwareArguments(options),
    diskArguments(options.disk),
    ...Object.entries(options.fwCfg ?? {}).map(([name, file]) => [
      "-fw_cfg",
      `name=${name},file=${escapeCommas(file)}`,
    ]),
    options.extra ?? [],
  ].flat();
}

function firmwareArguments(options: VmOptions): string[] {
  const { firmware, machineId } = options;
  // What a boot loader starts has no command line of ours: PID 1 takes the machine id from the firmware's UUID.
  const uuid = machineId === undefined ? [] : ["-uuid", uuidOf(machineId)];
  switch (firmware.kind) {
    case "direct":
      // A reset ends QEMU: who loaded the kernel decides what is loaded next.
      return [
        ["-no-reboot", "-kernel", firmware.kernel, "-initrd", firmware.initramfs],
        ["-append", kernelCommandLine(options)],
      ].flat();
    case "bios":
      return uuid;
    case "uefi":
      return [
        ["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${escapeCommas(firmware.code)}`],
        ["-drive", `if=pflash,unit=1,format=raw,file=${escapeCommas(firmware.variables)}`],
        uuid,
      ].flat();
  }
}

/**
 * What the guest was told is flushed must survive SIGKILL of QEMU, the power cut that tests make. `cache=unsafe` holds
 * that: each write reaches the host's page cache before the guest hears of it, qcow2 writes its tables back at each flush,
 * and only the host's own fsync is left out, which matters when the host crashes. It is kinder than a real disk, though:
 * writes that were not flushed survive, too. The NBD server of `disk/volatile-disk.ts` is there for that: QEMU passes
 * writes and flushes on (its own cache holds nothing back), and the server forgets what was not flushed.
 */
function diskArguments(disk: VmDisk): string[] {
  const drive =
    "nbdSocket" in disk
      ? `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${escapeCommas(disk.nbdSocket)},cache=writeback`
      : `file=${escapeCommas(disk.file)},format=${disk.format},cache=unsafe${disk.snapshot === true ? ",snapshot=on" : ""}`;
  return ["-drive", `if=none,id=root,${drive}`, "-device", "virtio-blk-pci,drive=root,bootindex=1"];
}

/** Pure. */
export function escapeCommas(path: string): string {
  return path.replaceAll(",", ",,");
}

function uuidOf(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
