import { startOurs } from "./ours.ts";
import { clientSuite } from "./suite.ts";
import { startUpstream, upstream } from "./upstream.ts";

if (upstream.ok) clientSuite("upstream", startUpstream);
clientSuite("keelson", startOurs);
