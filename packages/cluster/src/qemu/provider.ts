import { accessSync, constants } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "@keelson/image-builder";
import { ClusterError, ProviderUnavailableError } from "../errors.ts";
import { freePorts } from "../free-ports.ts";
import { completeGroups } from "../groups.ts";
import { ClusterNetwork } from "../network/network.ts";
import {
  EMULATED_TIMING,
  ETCD_CLIENT_PORT,
  etcdEnv,
  FLEET_PORT,
  fleetEnv,
  NATIVE_TIMING,
  type NodeAddress,
  networkFile,
  type Timing,
} from "../node-config.ts";
import type { MachineProvider, MachineSpec } from "../port.ts";
import { checkServices, openServices, type ServiceAddress, type Services, serviceAddress } from "../services/open.ts";
import { checkSpecs } from "../spec.ts";
import { type Acceleration, machineArguments } from "./arguments.ts";
import { deviceArguments, type HostLink, hostSideAddress, macAddress } from "./cards.ts";
import { hasBootEntries } from "./direct.ts";
import { addMachineArguments } from "./disk/loader-arguments.ts";
import { prepareDisk } from "./disk/prepare.ts";
import { VolatileDisk } from "./disk/volatile-disk.ts";
import type { Unflushed } from "./disk/write-cache.ts";
import { Hub } from "./hub.ts";
import { probeAcceleration } from "./kvm.ts";
import { machineFiles, QemuMachine, type VmEvent } from "./machine.ts";
import { type FirmwareKind, QemuPower, whyNotFirmware } from "./power.ts";
import type { LinkFaults } from "./switch.ts";

const QEMU = "qemu-system-x86_64";
/** Unix socket paths are limited to 107 bytes. */
const DIRECTORY_LENGTH_MAX = 80;
const BOOT_TIMEOUT_MS = { kvm: 60_000, tcg: 360_000 } as const;
/** Enough for the update agent, etcd, fleetd and a container of Node; one program takes 60 to 100 MB. */
const MEMORY_MIB = 768;

export interface QemuProviderOptions {
  /** A folder that `osctl build` made; it must not change while machines run (see `pinImage`). */
  readonly image: string;
  /** Where machines live; it is kept, with their disks. Default: a temporary directory that is removed at the end. */
  readonly directory?: string;
  readonly memoryMiB?: number;
  /** Default: one under emulation when there are more machines than half the CPUs, else two. */
  readonly cpus?: number;
  readonly timing?: Timing;
  /** Default: KVM where booting a kernel shows that it works. */
  readonly acceleration?: Acceleration;
  /** What starts a machine; default `direct`, the fastest, which decides as the boot loaders do. */
  readonly firmware?: FirmwareKind;
  /**
   * What a power cut loses. `page-cache` (default): nothing that reached QEMU. `volatile-cache`: writes that were not
   * flushed, as `unflushed` says.
   */
  readonly disk?: "page-cache" | "volatile-cache";
  /** Default `some`: each is written, torn or lost by chance. */
  readonly unflushed?: Unflushed;
  /** Numbers from 0 up to 1, for what chance decides. Default `Math.random`. */
  readonly random?: () => number;
  /** Whether all that is written to the disks is kept, for {@link QemuMachine.rewindDisk}; needs `volatile-cache`. */
  readonly recordDisk?: boolean;
  /** Size of the machines' disks; default that of the image. */
  readonly diskMiB?: number;
  /** `tap` (default for root) or `user`: see {@link HostLink}. */
  readonly network?: HostLink["kind"];
  /** Further settings of the machines by fw_cfg name, such as `opt/keelson/update.env` (see image/README.md). */
  readonly config?: Readonly<Record<string, string>>;
  /** Services of the host that machines reach; needs `tap`. */
  readonly services?: Services;
  /** Ports of the machines that the host reaches besides etcd's and fleet's; with `tap` it reaches all. */
  readonly ports?: readonly number[];
  readonly onEvent?: (event: VmEvent) => void;
}

/** Why this host cannot run our VMs, as one line that says what to do; undefined when it can. */
export function whyNotQemu(): string | undefined {
  return findProgram(QEMU) === undefined ? `${QEMU} not found: apt-get install qemu-system-x86` : undefined;
}

/** Why machines cannot have taps here; undefined when they can. */
function whyNotTap(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs root";
  const missing = ["ip", "nsenter"].find((name) => findProgram(name) === undefined);
  if (missing !== undefined) return `the program ${missing} is missing: apt-get install iproute2 util-linux`;
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "/dev/net/tun cannot be opened";
  }
}

/** Machines as VMs of our image, on an Ethernet of our own; the host reaches them on a second one. */
export class QemuProvider implements MachineProvider {
  readonly kind = "qemu";
  readonly supports;
  readonly #options: QemuProviderOptions;
  readonly #hub = new Hub();
  #acceleration: Acceleration = "tcg";
  #directory = "";
  #network: ClusterNetwork | undefined;
  #services: AsyncDisposable | undefined;
  readonly #disks: VolatileDisk[] = [];
  #machines: QemuMachine[] = [];

  constructor(options: QemuProviderOptions) {
    this.#options = options;
    this.supports = { reboot: true, volatileCache: options.disk === "volatile-cache" };
  }

  get slowness(): number {
    return this.#acceleration === "kvm" ? 2 : 10;
  }

  get acceleration(): Acceleration {
    return this.#acceleration;
  }

  /** The QEMUs, for the record of what to end after a crash of the harness. */
  get pids(): number[] {
    return this.#machines.flatMap((machine) => machine.pid ?? []);
  }

  async start(specs: readonly MachineSpec[], options: { signal?: AbortSignal } = {}): Promise<readonly QemuMachine[]> {
    checkSpecs(specs);
    checkServices(this.#options.services ?? {});
    if (this.#machines.length > 0) throw new ClusterError("this provider has started its machines already");
    const { image } = this.#options;
    const disk = join(image, "disk.img");
    const problem =
      whyNotQemu() ?? (await whyNotImage(disk)) ?? (await whyNotFirmware(this.#options.firmware ?? "direct"));
    if (problem !== undefined) throw new ProviderUnavailableError(problem);
    const qemu = findProgram(QEMU) ?? QEMU;
    const kernel = join(image, "vmlinuz");
    this.#acceleration = this.#options.acceleration ?? (await probeAcceleration(qemu, kernel));
    this.#directory = this.#options.directory ?? (await mkdtemp(join(tmpdir(), "keelson-vm-")));
    if (this.#directory.length > DIRECTORY_LENGTH_MAX) {
      throw new ClusterError(
        `directory ${this.#directory} is too long for the sockets in it: at most ${DIRECTORY_LENGTH_MAX} characters`,
      );
    }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const links = await this.#links(specs);
    const nodes = specs.map((spec, i) => ({
      spec,
      peerAddress: `10.77.0.${i + 11}`,
      hostAddress: hostSideAddress(linkOf(links, spec)),
    }));
    const fallback = (await hasBootEntries(disk)) ? undefined : { kernel, initramfs: join(image, "initramfs.cpio") };
    for (const [i, node] of nodes.entries()) {
      const link = linkOf(links, node.spec);
      this.#machines.push(await this.#prepare(qemu, disk, { node, nodes, index: i, link, fallback }));
    }
    await Promise.all(this.#machines.map((machine) => machine.boot(options.signal)));
    return this.#machines;
  }

  /** Makes the network to the host: in a namespace of our own where we may, else QEMU's. */
  async #links(specs: readonly MachineSpec[]): Promise<Map<string, HostLink>> {
    const { network, services = {} } = this.#options;
    const problem = whyNotTap();
    const kind = network ?? (problem === undefined ? "tap" : "user");
    if (kind === "tap") {
      if (problem !== undefined) throw new ProviderUnavailableError(`VMs cannot have taps here: ${problem}`);
      const names = specs.map((spec) => spec.name);
      this.#network = await ClusterNetwork.create(names, "tap");
      this.#services = await openServices(this.#network, services);
      return new Map(this.#network.plan.machines.map((own) => [own.name, { kind, network: own }]));
    }
    if (Object.keys(services).length > 0) {
      throw new ProviderUnavailableError(
        `VMs reach services of the host by taps only: ${problem ?? "network is user"}`,
      );
    }
    const forwards = await this.#forwards(specs);
    return new Map(specs.map(({ name }) => [name, { kind, forwards: forwards[name] ?? {} }]));
  }

  /** Writes what the machine is told, and makes its disk unless it has one. */
  async #prepare(qemu: string, image: string, machine: Prepared): Promise<QemuMachine> {
    const { node, link, index, nodes } = machine;
    const { spec } = node;
    const options = this.#options;
    const directory = join(this.#directory, spec.name);
    await mkdir(directory, { recursive: true });
    const files = machineFiles(directory);
    const mac = { peer: macAddress(0, index), host: macAddress(1, index) };
    const firmware = options.firmware ?? "direct";
    const vm = {
      acceleration: this.#acceleration,
      cpus: options.cpus ?? defaultCpus(this.#acceleration, nodes.length),
      memoryMiB: options.memoryMiB ?? MEMORY_MIB,
      machineId: spec.machineId,
      hostname: spec.name,
    };
    await prepareDisk(image, files.disk, {
      sizeMiB: options.diskMiB,
      // What QEMU tells the kernels that it loads, others must read from the disk.
      change: firmware === "direct" ? undefined : (copy) => addMachineArguments(copy, machineArguments(vm)),
    });
    const volatile = options.disk === "volatile-cache" ? await VolatileDisk.open(files.disk, files.nbd) : undefined;
    if (volatile !== undefined) this.#disks.push(volatile);
    if (options.recordDisk === true) await volatile?.startRecording();
    await this.#hub.addPort(spec.name, files.hub);
    const inNamespace = this.#network === undefined ? [] : ["nsenter", `--net=/run/netns/${this.#network.plan.hub}`];
    const power = new QemuPower({
      firmware,
      program: [...inNamespace, ...dieWithParent(), qemu],
      vm: {
        ...vm,
        fwCfg: await this.#writeConfig(directory, node, nodes, mac, link),
        extra: deviceArguments(mac, link),
      },
      disk: files.disk,
      volatile,
      unflushed: options.unflushed ?? "some",
      random: options.random ?? Math.random,
      uefiVariables: files.uefiVariables,
      kernels: files.kernels,
      fallback: machine.fallback,
    });
    const urlOf = urlsOf(spec.name, link);
    return new QemuMachine({
      spec,
      directory,
      power,
      volatile,
      etcdUrl: urlOf(ETCD_CLIENT_PORT),
      fleetUrl: urlOf(FLEET_PORT),
      urlOf,
      bootTimeoutMs: BOOT_TIMEOUT_MS[this.#acceleration],
      onEvent: options.onEvent,
    });
  }

  /** Files that the machine finds as fw_cfg: name → path. */
  async #writeConfig(
    directory: string,
    node: NodeAddress,
    nodes: readonly NodeAddress[],
    mac: { peer: string; host: string },
    link: HostLink,
  ): Promise<Record<string, string>> {
    const timing = this.#options.timing ?? (this.#acceleration === "kvm" ? NATIVE_TIMING : EMULATED_TIMING);
    const hostSide = [node.hostAddress, ...(link.kind === "tap" ? [link.network.serviceSideAddress] : [])];
    const config = {
      "opt/keelson/etcd.env": etcdEnv(node, nodes, timing),
      "opt/keelson/fleet.env": fleetEnv(node, nodes, timing),
      ...this.#options.config,
      "opt/keelson/debug": "1\n",
      "opt/io.systemd.credentials/network.network.10-peer": networkFile(mac.peer, [`${node.peerAddress}/24`]),
      "opt/io.systemd.credentials/network.network.11-host": networkFile(
        mac.host,
        hostSide.map((address) => `${address}/24`),
      ),
    };
    const files: Record<string, string> = {};
    for (const [name, content] of Object.entries(config)) {
      const file = join(directory, name.slice(name.lastIndexOf("/") + 1));
      await writeFile(file, content);
      files[name] = file;
    }
    return files;
  }

  async partition(groups: readonly (readonly string[])[]): Promise<void> {
    const names = this.#machines.map((machine) => machine.spec.name);
    this.#hub.partition(completeGroups(names, groups));
  }

  async heal(): Promise<void> {
    this.#hub.heal();
  }

  /** Delays or loses frames from one machine to another; `{}` ends it. */
  setFaults(from: string, to: string, faults: LinkFaults): void {
    this.#hub.setFaults(from, to, faults);
  }

  serviceAddress(name: string): ServiceAddress {
    return serviceAddress(this.#options.services ?? {}, name);
  }

  async collect(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    const skip = /\.(sock|raw|fd)$|\/kernels$/;
    await cp(this.#directory, directory, { recursive: true, filter: (source) => !skip.test(source) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.kill()));
    await Promise.all(this.#disks.map((disk) => disk[Symbol.asyncDispose]()));
    this.#disks.length = 0;
    await this.#hub[Symbol.asyncDispose]();
    await this.#services?.[Symbol.asyncDispose]();
    await this.#network?.[Symbol.asyncDispose]();
    if (this.#options.directory === undefined && this.#directory !== "") {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** Ports on loopback are chosen once and kept with the directory. */
  async #forwards(specs: readonly MachineSpec[]): Promise<Forwards> {
    const file = join(this.#directory, "ports.json");
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as Forwards;
    const wanted = [...new Set([ETCD_CLIENT_PORT, FLEET_PORT, ...(this.#options.ports ?? [])])];
    const free = await freePorts(specs.length * wanted.length);
    const forwards = Object.fromEntries(
      specs.map((spec) => [spec.name, Object.fromEntries(wanted.map((port) => [port, free.pop() ?? 0]))]),
    );
    await writeFile(file, JSON.stringify(forwards, null, 2));
    return forwards;
  }
}

/** Of each machine: its port → the host's. */
type Forwards = Record<string, Record<number, number>>;

interface Prepared {
  readonly node: NodeAddress;
  readonly nodes: readonly NodeAddress[];
  readonly index: number;
  readonly link: HostLink;
  readonly fallback: { readonly kernel: string; readonly initramfs: string } | undefined;
}

async function whyNotImage(disk: string): Promise<string | undefined> {
  if ((await stat(disk).catch(() => undefined)) !== undefined) return undefined;
  return `there is no image at ${disk}: run osctl build (as root, on Debian)`;
}

function linkOf(links: ReadonlyMap<string, HostLink>, { name }: MachineSpec): HostLink {
  const link = links.get(name);
  if (link === undefined) throw new ClusterError(`no network for ${name}`);
  return link;
}

function urlsOf(name: string, link: HostLink): (port: number) => string {
  if (link.kind === "tap") return (port) => `http://${link.network.hostAddress}:${port}`;
  return (port) => {
    const own = link.forwards[port];
    if (own === undefined) throw new ClusterError(`port ${port} of ${name} is not forwarded: name it in ports`);
    return `http://127.0.0.1:${own}`;
  };
}

function defaultCpus(acceleration: Acceleration, machines: number): number {
  return acceleration === "tcg" && machines * 2 > availableParallelism() ? 1 : 2;
}

/** The kernel ends QEMU when the harness dies, however that comes about (setpriv of util-linux). */
function dieWithParent(): string[] {
  try {
    accessSync("/usr/bin/setpriv", constants.X_OK);
    return ["/usr/bin/setpriv", "--pdeathsig", "KILL"];
  } catch {
    return [];
  }
}
