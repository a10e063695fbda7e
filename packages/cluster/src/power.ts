import type { PowerCutReport } from "./port.ts";

/** What a power cut does to a disk whose writes go straight to the host's page cache, which outlives it. */
export const NOTHING_LOST: PowerCutReport = { unflushedWrites: 0, lostWrites: 0, tornWrites: 0 };
