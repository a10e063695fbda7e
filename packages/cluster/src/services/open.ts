import { ClusterError } from "../errors.ts";
import { type ClusterNetwork, SERVICE_ADDRESS } from "../network/network.ts";
import { listenInNamespace } from "./netns-listeners.ts";
import { ServiceRelay } from "./relay.ts";

/** Services of this host by name: port N of loopback is port N of {@link SERVICE_ADDRESS} for machines. */
export type Services = Readonly<Record<string, number>>;

/** Where a service is. */
export interface ServiceAddress {
  readonly host: string;
  readonly port: number;
}

/** Refuses ports that cannot be, and two services on one. Pure. @throws ClusterError */
export function checkServices(services: Services): void {
  const seen = new Map<number, string>();
  for (const [name, port] of Object.entries(services)) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new ClusterError(`service ${name} has port ${port}: a whole number from 1 to 65535 is needed`);
    }
    const other = seen.get(port);
    if (other !== undefined) throw new ClusterError(`services ${other} and ${name} are both on port ${port}`);
    seen.set(port, name);
  }
}

/** Where a service is from a machine that reaches this host's loopback as `host`. Pure. @throws ClusterError */
export function serviceAddress(services: Services, name: string, host: string = SERVICE_ADDRESS): ServiceAddress {
  const port = services[name];
  if (port !== undefined) return { host, port };
  throw new ClusterError(`there is no service ${name}: give the provider its port in services`);
}

/** Opens services to the machines of a network; closed by disposing of what is returned. */
export async function openServices(network: ClusterNetwork, services: Services): Promise<AsyncDisposable> {
  const ports = Object.values(services);
  return new ServiceRelay(await listenInNamespace(network.plan.hub, SERVICE_ADDRESS, ports), ports);
}
