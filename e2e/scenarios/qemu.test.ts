import { clusterScenarios } from "../harness/scenarios.ts";

clusterScenarios("qemu");
