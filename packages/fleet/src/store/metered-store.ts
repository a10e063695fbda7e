import type { Clock } from "@keelson/types";
import type { Metrics } from "../metrics.ts";
import type { FleetStore } from "./port.ts";

/** The same store, with its operations counted and timed under fleet's names for the registry's metrics. */
export function meterStore(store: FleetStore, metrics: Metrics, clock: Clock): FleetStore {
  const measure = async <T>(type: string, operation: Promise<T>): Promise<T> => {
    const startMs = clock.monotonicMs();
    metrics.count("fleet_registry_operation_count_total", { type });
    try {
      return await operation;
    } catch (error) {
      metrics.count("fleet_registry_operation_failed_count_total", { type });
      throw error;
    } finally {
      metrics.observe("fleet_registry_operation_duration_second", (clock.monotonicMs() - startMs) / 1_000, { type });
    }
  };
  return {
    read: (prefix) => measure("get", store.read(prefix)),
    commit: (conditions, writes) => measure("set", store.commit(conditions, writes)),
    openSession: (ttlMs) => measure("lease", store.openSession(ttlMs)),
    // These last as long as they wait; a duration would say nothing.
    watch: (prefix, afterRevision, signal) => store.watch(prefix, afterRevision, signal),
    campaign: (session, name, value, signal) => store.campaign(session, name, value, signal),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
