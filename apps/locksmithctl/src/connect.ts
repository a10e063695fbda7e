import type { EtcdClient, EtcdClientOptions } from "@keelson/etcd-client";
import type { LockStore } from "@keelson/locksmith";
import { formatErrorChain } from "@keelson/types";
import { CommandError, type Io } from "./io.ts";
import type { Settings } from "./settings.ts";

/** A way to etcd that is closed with it. */
export interface Connection extends Disposable {
  readonly client: EtcdClient;
  readonly store: LockStore;
  /** A client of these endpoints alone, with the same credentials. */
  readonly connect: (endpoints: readonly string[]) => EtcdClient;
}

/** Loads the client only here, so that help and mistakes are answered at once. @throws {CommandError} */
export async function connectEtcd(settings: Settings, io: Pick<Io, "readFile">): Promise<Connection> {
  const options = clientOptions(settings, io);
  const [{ EtcdClient }, { EtcdLockStore }, logging] = await Promise.all([
    import("@keelson/etcd-client"),
    import("@keelson/locksmith"),
    settings.debug ? import("@keelson/log") : undefined,
  ]);
  const logger = logging?.createLogger({ component: "locksmith", level: "debug" });
  const connect = (endpoints: readonly string[]) =>
    new EtcdClient({ ...options, endpoints, ...(logger === undefined ? {} : { logger }) });
  try {
    const client = connect(settings.endpoints);
    return { client, store: new EtcdLockStore(client), connect, [Symbol.dispose]: () => client.close() };
  } catch (cause) {
    throw initError(cause);
  }
}

/** Upstream's text for everything that goes wrong on the way to etcd. */
export function initError(cause: unknown): CommandError {
  return new CommandError(`Error initializing etcd client: ${formatErrorChain(cause)}`, 1, { cause });
}

function clientOptions(settings: Settings, io: Pick<Io, "readFile">): Omit<EtcdClientOptions, "endpoints"> {
  const { caFile, certFile, keyFile, username, password } = settings;
  // Upstream wanted all three files or none; a CA alone is enough to know the server.
  if ((certFile === "") !== (keyFile === "")) {
    throw initError(new Error("-etcd-certfile and -etcd-keyfile go together"));
  }
  const read = (flag: string, path: string): string => {
    const text = io.readFile(path);
    if (text === undefined) throw initError(new Error(`-${flag}: cannot read ${path}`));
    return text;
  };
  return {
    tls: {
      ...(caFile === "" ? {} : { ca: read("etcd-cafile", caFile) }),
      ...(certFile === "" ? {} : { cert: read("etcd-certfile", certFile), key: read("etcd-keyfile", keyFile) }),
    },
    ...(username === "" ? {} : { credentials: { user: username, password } }),
  };
}

/** `/etc/machine-id` without its newline. @throws {CommandError} with upstream's text */
export function machineId(io: Pick<Io, "readFile">): string {
  const id = io.readFile("/etc/machine-id")?.trim() ?? "";
  if (id === "") throw new CommandError("Cannot read machine-id");
  return id;
}
