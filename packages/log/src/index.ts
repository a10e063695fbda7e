export { createLogger, type LoggerOptions } from "./logger.ts";
export { SystemClock } from "./system-clock.ts";
export { SystemRandom } from "./system-random.ts";
