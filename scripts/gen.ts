// npm run gen: generated code anew (protobuf messages).
import { steps } from "./lib.ts";

process.exitCode = (await steps([["protobuf", ["pnpm", "--filter", "@keelson/proto", "run", "gen"]]])) ? 0 : 1;
