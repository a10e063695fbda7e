import type { Clock, Logger, MachineId } from "@keelson/types";
import type { UnitManager } from "@keelson/unit";
import type { Metrics } from "../metrics.ts";
import type { Registry } from "../registry/registry.ts";
import type { RegistryWriter } from "../registry/writer.ts";

/** What the API answers from. */
export interface ApiContext {
  readonly registry: Registry;
  readonly writer: RegistryWriter;
  /** Of this machine, for journals and statuses. */
  readonly manager: UnitManager;
  readonly machineId: MachineId;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Items of one page. */
  readonly tokenLimit: number;
  /** Why this machine is not in the cluster now; undefined when it is. */
  readonly problem: () => string | undefined;
}
