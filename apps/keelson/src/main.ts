#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

// Before anything else is loaded: half of the time of a short command is compiling what it imports.
enableCompileCache(fileURLToPath(new URL("../../../out/compile-cache", import.meta.url)));
const { runKeelson } = await import("./program.ts");
await runKeelson();
