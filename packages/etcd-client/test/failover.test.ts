import { failoverSuite } from "./failover-suite.ts";
import { startUpstream, upstream } from "./upstream.ts";

if (upstream.ok) failoverSuite("upstream", startUpstream);
