import { failoverSuite } from "./failover-suite.ts";
import { startCluster } from "./upstream.ts";

failoverSuite("upstream", startCluster);
