import { clusterScenarios } from "../harness/scenarios.ts";

clusterScenarios("container");
