// npm run build: one bundle a program, in apps/*/dist.
import { steps } from "./lib.ts";

process.exitCode = (await steps([
  ["bundles", ["turbo", "run", "build", "--concurrency=2", "--output-logs=errors-only"]],
]))
  ? 0
  : 1;
