export { SystemdUnitManager, type SystemdUnitManagerOptions } from "./manager.ts";
