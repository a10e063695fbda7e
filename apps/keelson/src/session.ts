import { ClusterHost, type ClusterInfo, waitFor } from "@keelson/cluster";
import { FleetClient } from "@keelson/fleet/client";
import { DEMO_UNIT, launchDemo } from "./demo.ts";
import { type Kind, providerFactory } from "./providers.ts";
import { type ClusterView, look } from "./view.ts";

export interface SessionOptions {
  readonly name: string;
  readonly kind: Kind;
  readonly machines: number;
  readonly demo: boolean;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
  readonly onDown: () => void;
}

const READY_TIMEOUT_MS = 60_000;

/** Starts a cluster, waits until it is whole, and places the demo unit when asked. The caller disposes it. */
export async function openSession(options: SessionOptions): Promise<ClusterHost> {
  const startedMs = performance.now();
  const seconds = () => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
  options.say(`starting ${options.machines} machines (${options.kind})`);
  const host = await ClusterHost.start({
    name: options.name,
    machines: options.machines,
    provider: providerFactory(options.kind),
    signal: options.signal,
    onDown: options.onDown,
  });
  try {
    const wait = (what: string, probe: (view: ClusterView) => boolean) =>
      waitFor(what, async () => probe(await look(host.info())), {
        timeoutMs: READY_TIMEOUT_MS * host.info().slowness,
        signal: options.signal,
        everyMs: 100,
      });
    await wait("a quorum of etcd", (view) => view.hasQuorum);
    options.say(`etcd has a quorum (${seconds()})`);
    await wait("every machine in fleet", (view) => view.machines.every((m) => m.inFleet === true));
    options.say(`fleet sees every machine (${seconds()})`);
    if (options.demo) {
      await launchDemo(new FleetClient({ endpoint: host.info().machines[0]?.fleetUrl ?? "" }));
      await wait(`${DEMO_UNIT} running`, (view) =>
        view.units.some((unit) => unit.unit === DEMO_UNIT && unit.active === "active"),
      );
      options.say(`${DEMO_UNIT} runs (${seconds()})`);
    }
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

/** The exact commands to go on with. Pure. */
export function nextCommands(info: ClusterInfo): string {
  const endpoints = info.machines.map((m) => m.etcdUrl).join(",");
  const fleet = info.machines[0]?.fleetUrl ?? "";
  const name = info.name === "default" ? "" : ` --name ${info.name}`;
  return `Try, from the repository in another terminal:

  npm run -s keelson -- fleetctl --endpoint ${fleet} list-units
  npm run -s keelson -- etcdctl --endpoints ${endpoints} endpoint status -w table
  npm run -s keelson -- kill${name} m1        # its units move to the others
  npm run -s keelson -- restart${name} m1     # it comes back and rejoins
  npm run -s keelson -- partition${name} m1   # cut m1 off; heal with: heal
  npm run -s keelson -- logs${name} m2 fleetd
`;
}
