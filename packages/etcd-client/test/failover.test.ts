import { failoverSuite } from "./failover-suite.ts";
import { startCluster } from "./upstream.ts";

failoverSuite("upstream", (size) => startCluster("/tmp/trixie-etcd/root/usr/bin/etcd", size));
