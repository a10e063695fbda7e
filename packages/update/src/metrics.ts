import type { StateName } from "./core/agent/model.ts";
import type { Updater } from "./driver.ts";
import { VERSION } from "./version.ts";

/** What metrics tell of the settings. */
export interface MetricsFacts {
  readonly strategy: string;
  readonly isEnabled: boolean;
  readonly rolloutWariness: number | undefined;
}

const STATES: readonly StateName[] = [
  "starting",
  "idle",
  "checking",
  "available",
  "pulling",
  "staged",
  "waiting-for-lock",
  "waiting-for-window",
  "finalizing",
  "rebooting",
  "verifying",
  "good",
  "rolled-back",
  "abandoned",
];

/** Counters that mean the same as Zincati's, under its names; a dashboard made for Zincati goes on working. */
const COUNTERS: readonly (readonly [name: string, counter: string, help: string])[] = [
  ["zincati_cincinnati_update_checks_total", "update_checks", "Checks for updates."],
  ["zincati_cincinnati_update_checks_errors_total", "update_check_errors", "Checks for updates that failed."],
  ["zincati_rpm_ostree_deploy_attempts_total", "deploy_attempts", "Pulls begun."],
  ["zincati_rpm_ostree_deploy_failures_total", "deploy_failures", "Pulls and deployments that failed."],
  ["zincati_update_agent_finalization_attempts", "finalization_attempts", "Updates made bootable, or tried to."],
  ["zincati_update_agent_finalization_successes", "finalization_successes", "Updates made bootable."],
  ["zincati_strategy_fleet_lock_requests_total", "lock_requests", "Times that the reboot lock was asked for."],
  ["zincati_strategy_fleet_lock_errors_total", "lock_errors", "Times that the reboot lock was refused."],
];

/** Prometheus metrics of an agent. Those of Zincati (`zincati_*`) where the meaning is equal, else `updated_*`. */
export class AgentMetrics {
  readonly #facts: MetricsFacts;
  #changedAt: number;

  constructor(facts: MetricsFacts, nowS: number) {
    this.#facts = facts;
    this.#changedAt = nowS;
  }

  /** To be told of each change of state. */
  noteChange(nowS: number): void {
    this.#changedAt = nowS;
  }

  /** Text format 0.0.4. */
  render(updater: Updater): string {
    const { agent, facts } = updater;
    const out: string[] = [];
    const series = (name: string, type: "gauge" | "counter", help: string, value: number, labels = "") => {
      out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name}${labels} ${value}`);
    };
    const { strategy, isEnabled, rolloutWariness } = this.#facts;
    series("zincati_build_info", "gauge", "The agent.", 1, `{version=${JSON.stringify(VERSION)}}`);
    series(
      "zincati_update_agent_latest_state_change_timestamp",
      "gauge",
      "When the state last changed, seconds since 1970.",
      this.#changedAt,
    );
    series("zincati_update_agent_updates_enabled", "gauge", "Whether updates are enabled.", isEnabled ? 1 : 0);
    series(
      "zincati_updates_strategy_mode",
      "gauge",
      "The reboot strategy.",
      1,
      `{strategy=${JSON.stringify(strategy)}}`,
    );
    if (rolloutWariness !== undefined) {
      series("zincati_identity_rollout_wariness", "gauge", "As set.", rolloutWariness);
    }
    const { version, commit } = agent.boot.booted;
    series(
      "zincati_identity_os_info",
      "gauge",
      "What runs.",
      1,
      `{os_version=${JSON.stringify(version)},os_checksum=${JSON.stringify(commit)}}`,
    );
    if (facts.graph !== undefined) {
      const { nodes, edges, isDeadend } = facts.graph;
      series("zincati_cincinnati_graph_nodes_count", "gauge", "Nodes of the last graph.", nodes);
      series("zincati_cincinnati_graph_edges_count", "gauge", "Edges of the last graph.", edges);
      series("zincati_cincinnati_booted_release_is_deadend", "gauge", "1 at a dead end.", isDeadend ? 1 : 0);
    }
    for (const [name, counter, help] of COUNTERS) series(name, "counter", help, facts.counts.get(counter) ?? 0);
    out.push("# HELP updated_state The state of the agent.", "# TYPE updated_state gauge");
    for (const state of STATES) out.push(`updated_state{state="${state}"} ${agent.phase.state === state ? 1 : 0}`);
    series("updated_denied_versions", "gauge", "Versions that this machine will not take.", agent.memory.denied.length);
    const rollbacks = agent.memory.history.filter((h) => h.what === "rolled-back").length;
    series("updated_rollbacks", "gauge", "Rollbacks in the history.", rollbacks);
    series("updated_held", "gauge", "1 when the state file cannot be trusted.", agent.held === undefined ? 0 : 1);
    if (facts.gate !== undefined) {
      series("updated_health_green", "gauge", "1 when the last health gate was green.", facts.gate.isGreen ? 1 : 0);
    }
    return `${out.join("\n")}\n`;
  }
}
