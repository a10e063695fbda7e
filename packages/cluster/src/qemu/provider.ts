import { accessSync, constants } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "@keelson/image-builder";
import { ClusterError, ProviderUnavailableError } from "../errors.ts";
import { freePorts } from "../free-ports.ts";
import { completeGroups } from "../groups.ts";
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
import { checkSpecs } from "../spec.ts";
import { type Acceleration, qemuArguments } from "./arguments.ts";
import { Hub } from "./hub.ts";
import { probeAcceleration } from "./kvm.ts";
import { machineFiles, QemuMachine } from "./machine.ts";
import { createOverlay } from "./qcow2.ts";
import type { LinkFaults } from "./switch.ts";

const QEMU = "qemu-system-x86_64";
/** Unix socket paths are limited to 107 bytes. */
const DIRECTORY_LENGTH_MAX = 80;
const BOOT_TIMEOUT_MS = { kvm: 60_000, tcg: 240_000 } as const;
/** The address that QEMU's user network gives its guest. */
const HOST_NETWORK_ADDRESS = "10.0.2.15";

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
}

/** Why this host cannot run our VMs, as one line that says what to do; undefined when it can. */
export function whyNotQemu(): string | undefined {
  return findProgram(QEMU) === undefined ? `${QEMU} not found: apt-get install qemu-system-x86` : undefined;
}

async function whyNotImage(image: string): Promise<string | undefined> {
  for (const name of ["vmlinuz", "initramfs.cpio", "disk.img"]) {
    if ((await stat(join(image, name)).catch(() => undefined)) === undefined) {
      return `there is no image in ${image}: run osctl build (as root, on Debian)`;
    }
  }
  return undefined;
}

/** Machines as VMs of our image, on an Ethernet of our own and reached by ports on loopback. */
export class QemuProvider implements MachineProvider {
  readonly kind = "qemu";
  readonly #options: QemuProviderOptions;
  readonly #hub = new Hub();
  #acceleration: Acceleration = "tcg";
  #directory = "";
  #machines: QemuMachine[] = [];

  constructor(options: QemuProviderOptions) {
    this.#options = options;
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
    if (this.#machines.length > 0) throw new ClusterError("this provider has started its machines already");
    const { image } = this.#options;
    const problem = whyNotQemu() ?? (await whyNotImage(image));
    if (problem !== undefined) throw new ProviderUnavailableError(problem);
    const qemu = findProgram(QEMU) ?? QEMU;
    this.#acceleration = this.#options.acceleration ?? (await probeAcceleration(qemu, join(image, "vmlinuz")));
    this.#directory = this.#options.directory ?? (await mkdtemp(join(tmpdir(), "keelson-vm-")));
    if (this.#directory.length > DIRECTORY_LENGTH_MAX) {
      throw new ClusterError(
        `directory ${this.#directory} is too long for the sockets in it: at most ${DIRECTORY_LENGTH_MAX} characters`,
      );
    }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const ports = await this.#ports(specs);
    const nodes = specs.map((spec, i) => ({
      spec,
      peerAddress: `10.77.0.${i + 11}`,
      hostAddress: HOST_NETWORK_ADDRESS,
    }));
    for (const [i, node] of nodes.entries()) {
      const own = ports[node.spec.name];
      if (own === undefined) throw new ClusterError(`no ports for ${node.spec.name}`);
      this.#machines.push(await this.#prepare(qemu, image, node, nodes, i, own));
    }
    await Promise.all(this.#machines.map((machine) => machine.boot(options.signal)));
    return this.#machines;
  }

  /** Writes what the machine is told, and makes its disk unless it has one. */
  async #prepare(
    qemu: string,
    image: string,
    node: NodeAddress,
    nodes: readonly NodeAddress[],
    index: number,
    ports: Ports,
  ): Promise<QemuMachine> {
    const { spec } = node;
    const directory = join(this.#directory, spec.name);
    await mkdir(directory, { recursive: true });
    const files = machineFiles(directory);
    const timing = this.#options.timing ?? (this.#acceleration === "kvm" ? NATIVE_TIMING : EMULATED_TIMING);
    const mac = { peer: macAddress(0, index), host: macAddress(1, index) };
    const config = {
      "opt/keelson/etcd.env": etcdEnv(node, nodes, timing),
      "opt/keelson/fleet.env": fleetEnv(node, nodes, timing),
      "opt/keelson/debug": "1\n",
      "opt/io.systemd.credentials/network.network.10-peer": networkFile(mac.peer, `${node.peerAddress}/24`),
      "opt/io.systemd.credentials/network.network.11-host": networkFile(mac.host, `${node.hostAddress}/24`),
    };
    const fwCfg: Record<string, string> = {};
    for (const [name, content] of Object.entries(config)) {
      const file = join(directory, name.slice(name.lastIndexOf("/") + 1));
      await writeFile(file, content);
      fwCfg[name] = file;
    }
    const disk = await stat(join(image, "disk.img"));
    if ((await stat(files.disk).catch(() => undefined)) === undefined) {
      await createOverlay(files.disk, join(image, "disk.img"), disk.size);
    }
    await this.#hub.addPort(spec.name, files.hub);
    const args = qemuArguments({
      acceleration: this.#acceleration,
      cpus: this.#options.cpus ?? defaultCpus(this.#acceleration, nodes.length),
      memoryMiB: this.#options.memoryMiB ?? 512,
      kernel: join(image, "vmlinuz"),
      initramfs: join(image, "initramfs.cpio"),
      disk: { file: files.disk, format: "qcow2" },
      machineId: spec.machineId,
      hostname: spec.name,
      fwCfg,
      extra: cards(mac, ports),
    });
    return new QemuMachine({
      spec,
      directory,
      qemu: [...dieWithParent(), qemu, ...args],
      etcdUrl: `http://127.0.0.1:${ports.etcd}`,
      fleetUrl: `http://127.0.0.1:${ports.fleet}`,
      bootTimeoutMs: BOOT_TIMEOUT_MS[this.#acceleration],
    });
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

  async collect(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    const skip = /\.(sock|qcow2)$/;
    await cp(this.#directory, directory, { recursive: true, filter: (source) => !skip.test(source) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.kill()));
    await this.#hub[Symbol.asyncDispose]();
    if (this.#options.directory === undefined && this.#directory !== "") {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** Ports on loopback are chosen once and kept with the directory. */
  async #ports(specs: readonly MachineSpec[]): Promise<Record<string, Ports>> {
    const file = join(this.#directory, "ports.json");
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as Record<string, Ports>;
    const free = await freePorts(specs.length * 2);
    const ports = Object.fromEntries(
      specs.map((spec, i) => [spec.name, { etcd: free[i * 2] ?? 0, fleet: free[i * 2 + 1] ?? 0 }]),
    );
    await writeFile(file, JSON.stringify(ports, null, 2));
    return ports;
  }
}

interface Ports {
  readonly etcd: number;
  readonly fleet: number;
}

/** Locally administered; the last byte tells the machine. */
function macAddress(network: number, index: number): string {
  return `52:54:00:6b:0${network}:${(index + 1).toString(16).padStart(2, "0")}`;
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

/** Serial console, two virtio ports, the card to the other machines, the card to the host. Sockets are relative. */
function cards(mac: { peer: string; host: string }, ports: Ports): string[] {
  const forwards = [
    `hostfwd=tcp:127.0.0.1:${ports.etcd}-${HOST_NETWORK_ADDRESS}:${ETCD_CLIENT_PORT}`,
    `hostfwd=tcp:127.0.0.1:${ports.fleet}-${HOST_NETWORK_ADDRESS}:${FLEET_PORT}`,
  ].join(",");
  return [
    ["-chardev", "file,id=console,path=console.log,append=on"],
    ["-serial", "chardev:console"],
    ["-qmp", "unix:qmp.sock,server=on,wait=off"],
    ["-device", "virtio-serial-pci"],
    ["-chardev", "socket,id=debug,path=debug.sock,server=on,wait=off"],
    ["-device", "virtserialport,chardev=debug,name=keelson.debug"],
    ["-chardev", "file,id=journal,path=journal.log,append=on"],
    ["-device", "virtserialport,chardev=journal,name=keelson.journal"],
    ["-netdev", "stream,id=peer,server=off,addr.type=unix,addr.path=hub.sock"],
    ["-device", `virtio-net-pci,netdev=peer,mac=${mac.peer},romfile=`],
    ["-netdev", `user,id=host,restrict=on,${forwards}`],
    ["-device", `virtio-net-pci,netdev=host,mac=${mac.host},romfile=`],
  ].flat();
}
