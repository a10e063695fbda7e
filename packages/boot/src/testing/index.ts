export { PowerCut, SimEsp, SimSectors } from "./sim-esp.ts";
