import { once } from "node:events";
import { type Logger, silentLogger } from "@keelson/types";
import { EmbeddedUnitManager, type EmbeddedUnitManagerOptions } from "../embedded/manager.ts";
import { serveUnitManager } from "./serve.ts";

/** Options of {@link runUnitManager}. */
export interface RunUnitManagerOptions extends EmbeddedUnitManagerOptions {
  readonly socketPath: string;
  readonly logger?: Logger;
  /** Ends the manager as SIGTERM does. */
  readonly signal?: AbortSignal;
}

/**
 * The whole life of a unit manager's own process: opens the directory, serves the socket, and on SIGTERM or SIGINT stops
 * all units, as a machine that shuts down, and returns. Clients that go away stop nothing.
 */
export async function runUnitManager(options: RunUnitManagerOptions): Promise<void> {
  const log = options.logger ?? silentLogger;
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    const manager = await EmbeddedUnitManager.open(options);
    try {
      await using server = await serveUnitManager(manager, options.socketPath, { logger: log });
      log.debug("unit manager ready", { socket: server.socketPath });
      const ended = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
      if (!ended.aborted) await once(ended, "abort");
    } finally {
      await manager[Symbol.asyncDispose]();
    }
  } finally {
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
}
