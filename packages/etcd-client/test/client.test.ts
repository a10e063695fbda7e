import { clientSuite } from "./suite.ts";
import { startCluster } from "./upstream.ts";

clientSuite("upstream", startCluster);
