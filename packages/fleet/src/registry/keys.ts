import type { MachineId, UnitName } from "@keelson/types";

/** Where fleet keeps its state unless told otherwise. Source: fleet registry/registry.go, DefaultKeyPrefix. */
export const DEFAULT_KEY_PREFIX = "/_coreos.com/fleet/";

/** The names of all keys below a prefix. Source: fleet-locksmith.md A5.1; see the table in README.md. */
export class Keys {
  /** Ends in `/`. */
  readonly prefix: string;

  constructor(prefix: string = DEFAULT_KEY_PREFIX) {
    this.prefix = prefix.endsWith("/") ? prefix : `${prefix}/`;
  }

  job(name: UnitName): string {
    return `${this.prefix}job/${name}/`;
  }

  jobObject(name: UnitName): string {
    return `${this.job(name)}object`;
  }

  targetState(name: UnitName): string {
    return `${this.job(name)}target-state`;
  }

  target(name: UnitName): string {
    return `${this.job(name)}target`;
  }

  why(name: UnitName): string {
    return `${this.job(name)}why`;
  }

  unit(hash: string): string {
    return `${this.prefix}unit/${hash}`;
  }

  state(name: UnitName, machine: MachineId): string {
    return `${this.prefix}states/${name}/${machine}`;
  }

  machine(id: MachineId): string {
    return `${this.prefix}machines/${id}/object`;
  }

  machineMetadata(id: MachineId, key: string): string {
    return `${this.prefix}machines/${id}/metadata/${key}`;
  }

  get engineElection(): string {
    return `${this.prefix}lease/engine-leader`;
  }
}
