import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClusterError } from "../errors.ts";
import { freePorts } from "../free-ports.ts";
import { completeGroups } from "../groups.ts";
import type { MachineProvider, MachineSpec } from "../port.ts";
import { checkServices, type ServiceAddress, type Services, serviceAddress } from "../services/open.ts";
import { checkSpecs, etcdMemberId } from "../spec.ts";
import { CLUSTER_TOKEN, clientUrl, layoutOf, type MachineLayout, peerUrl } from "./layout.ts";
import { headerOf, LinkProxy } from "./link-proxy.ts";
import { ProcessMachine } from "./machine.ts";
import { type Programs, programsOfRepository } from "./programs.ts";

/** Unix socket paths are limited to about 100 bytes, so the default directory is short. */
const DIRECTORY_LENGTH_MAX = 80;

export interface ProcessProviderOptions {
  /** Where machines live; it is kept. Default: a temporary directory that is removed at the end. */
  readonly directory?: string;
  /** How names of temporary directories begin. Default: `keelson-`. */
  readonly prefix?: string;
  /** Default: the apps of this repository, bundled. */
  readonly programs?: Programs;
  /** Services of the host; machines of processes are on its loopback and reach them there. */
  readonly services?: Services;
}

/** Machines as processes of this host, on loopback. Needs nothing but Node. */
export class ProcessProvider implements MachineProvider {
  readonly kind = "process";
  readonly slowness = 1;
  readonly supports = { reboot: false, volatileCache: false };
  readonly #options: ProcessProviderOptions;
  #directory = "";
  #machines: ProcessMachine[] = [];
  #proxies: LinkProxy[] = [];
  /** The group a machine is in while the network is split. */
  #groups: ReadonlyMap<string, number> | undefined;

  constructor(options: ProcessProviderOptions = {}) {
    this.#options = options;
  }

  /** The processes that are the roots of the machines, for the record of what to end after a crash of the harness. */
  get pids(): number[] {
    return this.#machines.flatMap((machine) => machine.pids);
  }

  async start(
    specs: readonly MachineSpec[],
    options: { signal?: AbortSignal } = {},
  ): Promise<readonly ProcessMachine[]> {
    checkSpecs(specs);
    checkServices(this.#options.services ?? {});
    if (this.#machines.length > 0) throw new ClusterError("this provider has started its machines already");
    this.#directory = this.#options.directory ?? (await mkdtemp(join(tmpdir(), this.#options.prefix ?? "keelson-")));
    if (this.#directory.length > DIRECTORY_LENGTH_MAX) {
      throw new ClusterError(
        `directory ${this.#directory} is too long for the sockets in it: at most ${DIRECTORY_LENGTH_MAX} characters`,
      );
    }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const layouts = await this.#layouts(specs);
    const programs = this.#options.programs ?? (await programsOfRepository());
    for (const layout of layouts) {
      await mkdir(layout.unitsDirectory, { recursive: true });
      const etcdUrls = [clientUrl(layout), ...(await this.#clientLinks(layout, layouts))];
      this.#machines.push(new ProcessMachine({ programs, layout, all: layouts, etcdUrls }));
    }
    options.signal?.throwIfAborted();
    await Promise.all(this.#machines.map((machine) => machine.restart()));
    return this.#machines;
  }

  async partition(groups: readonly (readonly string[])[]): Promise<void> {
    const names = this.#machines.map((machine) => machine.spec.name);
    const group = new Map<string, number>();
    for (const [i, members] of completeGroups(names, groups).entries()) for (const name of members) group.set(name, i);
    this.#groups = group;
    for (const proxy of this.#proxies) proxy.update();
  }

  async heal(): Promise<void> {
    this.#groups = undefined;
    for (const proxy of this.#proxies) proxy.update();
  }

  serviceAddress(name: string): ServiceAddress {
    return serviceAddress(this.#options.services ?? {}, name, "127.0.0.1");
  }

  async collect(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    const skip = /\.sock$/;
    await cp(this.#directory, directory, { recursive: true, filter: (source) => !skip.test(source) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.kill()));
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    if (this.#options.directory === undefined && this.#directory !== "")
      await rm(this.#directory, { recursive: true, force: true });
  }

  /** Ports are chosen once and kept with the directory, since etcd's members know each other by them. */
  async #layouts(specs: readonly MachineSpec[]): Promise<MachineLayout[]> {
    const file = join(this.#directory, "ports.json");
    const kept = await readPorts(file);
    const layouts: MachineLayout[] = [];
    for (const spec of specs) {
      const old = kept[spec.name];
      const [clientPort = 0, peerPort = 0, fleetPort = 0] =
        old === undefined ? await freePorts(3) : [old.clientPort, old.peerPort, old.fleetPort];
      const proxy = await this.#peerLink(spec.name, peerPort, () => layouts, old?.peerProxyPort ?? 0);
      layouts.push(layoutOf(this.#directory, spec, { clientPort, peerPort, fleetPort, peerProxyPort: proxy.port }));
    }
    const ports = Object.fromEntries(
      layouts.map(({ spec, clientPort, peerPort, fleetPort, peerProxyPort }) => [
        spec.name,
        { clientPort, peerPort, fleetPort, peerProxyPort },
      ]),
    );
    await writeFile(file, `${JSON.stringify(ports, null, 2)}\n`);
    return layouts;
  }

  async #peerLink(
    to: string,
    port: number,
    layouts: () => readonly MachineLayout[],
    listenPort: number,
  ): Promise<LinkProxy> {
    const proxy = await LinkProxy.listen(
      {
        target: { host: "127.0.0.1", port },
        identify: (head) => {
          const id = headerOf(head, "X-Server-From");
          return layouts().find((l) => id === etcdMemberId([peerUrl(l)], CLUSTER_TOKEN).toString(16))?.spec.name;
        },
        isOpen: (from) => this.#connected(from, to),
      },
      listenPort,
    );
    this.#proxies.push(proxy);
    return proxy;
  }

  /** The etcds of the other machines as `from` reaches them. */
  async #clientLinks(from: MachineLayout, layouts: readonly MachineLayout[]): Promise<string[]> {
    const urls: string[] = [];
    for (const to of layouts) {
      if (to === from) continue;
      const proxy = await LinkProxy.listen({
        target: { host: "127.0.0.1", port: to.clientPort },
        identify: () => from.spec.name,
        isOpen: () => this.#connected(from.spec.name, to.spec.name),
      });
      this.#proxies.push(proxy);
      urls.push(`http://127.0.0.1:${proxy.port}`);
    }
    return urls;
  }

  #connected(from: string | undefined, to: string): boolean {
    if (this.#groups === undefined || from === undefined) return true;
    return this.#groups.get(from) === this.#groups.get(to);
  }
}

interface Ports {
  readonly fleetPort: number;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly peerProxyPort: number;
}

async function readPorts(file: string): Promise<Record<string, Ports>> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Record<string, Ports>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new ClusterError(`cannot read ${file}: remove it together with the machines beside it`, {}, { cause: error });
  }
}
