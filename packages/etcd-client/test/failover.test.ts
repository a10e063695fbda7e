import { failoverSuite } from "./failover-suite.ts";
import { startOurs } from "./ours.ts";
import { startUpstream, upstream } from "./upstream.ts";

if (upstream.ok) failoverSuite("upstream", startUpstream);
failoverSuite("keelson", startOurs);
