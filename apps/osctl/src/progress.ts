import type { Progress } from "@keelson/image-builder";

/** Prints steps with the time since the start on standard error, so that standard output stays for results. */
export function stderrProgress(options: { verbose: boolean; write: (text: string) => void }): Progress {
  const startedMs = performance.now();
  const time = () => `${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  `;
  return {
    step: (text) => options.write(`${time()}${text}\n`),
    detail: (text) => options.verbose && options.write(`${time()}  ${text}\n`),
    warn: (text) => options.write(`${time()}warning: ${text}\n`),
  };
}
