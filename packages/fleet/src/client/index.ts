// For programs that only talk to fleetd: nothing of the daemon is loaded.
export type { MachineEntity, UnitEntity, UnitStateEntity, WhyEntity } from "../api/entities.ts";
export type { DesiredState } from "../core/model.ts";
export { ApiError, ConfigError } from "../errors.ts";
export { VERSION } from "../version.ts";
export { DEFAULT_ENDPOINT, FleetClient, type FleetClientOptions, parseEndpoint } from "./client.ts";
