import { setImmediate } from "node:timers/promises";

/** Longest run of synchronous work, milliseconds, before others get their turn. */
const SLICE_MS = 10;
let sliceStart = 0;

/**
 * Small files are handled with synchronous calls, which cost a tenth of asynchronous ones. To be awaited between them, so
 * that timers, sockets and other work go on.
 */
export function fair(): Promise<void> | undefined {
  const now = performance.now();
  if (now - sliceStart < SLICE_MS) return undefined;
  return setImmediate().then(() => {
    sliceStart = performance.now();
  });
}
