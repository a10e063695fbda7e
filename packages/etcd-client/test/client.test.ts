import { clientSuite } from "./suite.ts";
import { startCluster } from "./upstream.ts";

clientSuite("upstream", (size) => startCluster("/tmp/trixie-etcd/root/usr/bin/etcd", size));
