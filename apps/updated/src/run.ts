import { createLogger, SystemClock, SystemRandom } from "@keelson/log";
import { AgentApi, AgentMetrics, Updater, VERSION } from "@keelson/update";
import type { Config } from "./config.ts";
import { notify } from "./notify.ts";
import { makeDeps } from "./wiring.ts";

/** Runs until SIGTERM or SIGINT, or until a broken invariant ends it. Resolves with the exit code. */
export async function runUpdated(config: Config, env: Readonly<Record<string, string | undefined>>): Promise<number> {
  const logger = createLogger({
    component: "updated",
    level: config.logLevel,
    journaldPriority: env["JOURNAL_STREAM"] !== undefined,
  });
  for (const warning of config.warnings) logger.warn(warning);
  // The clock's timers do not keep a process alive; this does, until the end.
  const alive = setInterval(() => {}, 1 << 30);
  const ended = waitForEnd();
  const clock = new SystemClock();
  const nowS = () => Math.floor(clock.wallMs() / 1_000);
  await using deps = await makeDeps(config, { clock, random: new SystemRandom(), logger });
  await using updater = await Updater.start(deps, config.policy);
  const metrics = new AgentMetrics(
    {
      strategy: config.strategy,
      isEnabled: config.policy.isEnabled,
      rolloutWariness: config.identity.rolloutWariness,
    },
    nowS(),
  );
  updater.onStep((agent, before) => {
    if (agent.phase.state !== before) metrics.noteChange(nowS());
  });
  const facts = {
    agent: { version: VERSION, strategy: config.strategy, enabled: config.policy.isEnabled },
    server: { url: config.baseUrl, stream: config.identity.stream, group: config.identity.group },
  };
  await using api = new AgentApi(updater, facts, metrics, logger);
  await api.listen(config.paths.socket);
  const { version, commit } = updater.agent.boot.booted;
  logger.info("updated ready", { version: VERSION, os: version, commit, strategy: config.strategy });
  await notify("READY=1", env);
  const signal = await ended;
  logger.info("updated stops", { signal, state: updater.agent.phase.state });
  clearInterval(alive);
  return 0;
}

function waitForEnd(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}
