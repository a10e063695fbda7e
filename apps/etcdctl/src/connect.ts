import { readFileSync } from "node:fs";
import type { EtcdClient, EtcdClientOptions } from "@keelson/etcd-client";
import { Exit, ExitError } from "./exit.ts";
import type { Globals } from "./globals.ts";

/** etcd closes connections that are pinged more often; Go's client has the same floor. */
const PING_MIN_MS = 10_000;

/** The client that the global flags describe. gRPC is loaded only here, so that `version` and `--help` start quickly. */
export async function connect(globals: Globals, endpoints: readonly string[] = globals.endpoints): Promise<EtcdClient> {
  const { EtcdClient } = await import("@keelson/etcd-client");
  const tls = tlsOf(globals);
  const withScheme = (e: string) =>
    tls !== undefined && !e.includes("://") && !e.startsWith("unix:") ? `https://${e}` : e;
  const credentials = credentialsOf(globals);
  const options: EtcdClientOptions = {
    endpoints: endpoints.map(withScheme),
    dialTimeoutMs: globals.dialTimeoutMs,
    requestTimeoutMs: globals.commandTimeoutMs,
    keepAliveMs: Math.max(PING_MIN_MS, globals.keepaliveTimeMs),
    keepAliveTimeoutMs: globals.keepaliveTimeoutMs,
    tls: tls ?? {},
    ...(credentials === undefined ? {} : { credentials }),
    ...(globals.debug ? { logger: await debugLogger() } : {}),
  };
  try {
    return new EtcdClient(options);
  } catch (error) {
    throw new ExitError(Exit.BAD_ARGS, error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function debugLogger() {
  const { createLogger } = await import("@keelson/log");
  return createLogger({ component: "etcdctl", level: "debug" });
}

function tlsOf(globals: Globals): EtcdClientOptions["tls"] {
  const given = globals.cert !== "" || globals.key !== "" || globals.cacert !== "";
  if (!given && globals.insecureTransport && !globals.insecureSkipTlsVerify) return undefined;
  return {
    ...(globals.cacert === "" ? {} : { ca: readFile(globals.cacert) }),
    ...(globals.cert === "" ? {} : { cert: readFile(globals.cert) }),
    ...(globals.key === "" ? {} : { key: readFile(globals.key) }),
    ...(globals.insecureSkipTlsVerify ? { insecureSkipVerify: true } : {}),
  };
}

function credentialsOf({ user, password }: Globals): EtcdClientOptions["credentials"] {
  if (user === "") return undefined;
  if (password !== "") return { user, password };
  const cut = user.indexOf(":");
  if (cut < 0) throw new ExitError(Exit.BAD_ARGS, "--user needs a password: give NAME:PASSWORD or --password");
  return { user: user.slice(0, cut), password: user.slice(cut + 1) };
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ExitError(Exit.IO, `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
