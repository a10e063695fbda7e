import { clusterScenarios } from "../harness/scenarios.ts";

clusterScenarios("process");
