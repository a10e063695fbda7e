import type { UnitDocument } from "@keelson/unit";

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/).filter((word) => word !== ""));

/** Settings that the embedded manager acts on. */
const HONOURED: Readonly<Record<string, ReadonlySet<string>>> = {
  Unit: words(`
    Requires Requisite BindsTo Wants After Before Conflicts
    StartLimitIntervalSec StartLimitInterval StartLimitBurst`),
  Service: words(`
    Type RemainAfterExit ExecStartPre ExecStart ExecStartPost ExecStop ExecStopPost
    Restart RestartSec SuccessExitStatus RestartPreventExitStatus RestartForceExitStatus StartLimitInterval StartLimitBurst
    TimeoutSec TimeoutStartSec TimeoutStopSec KillMode KillSignal FinalKillSignal SendSIGKILL SendSIGHUP
    Environment EnvironmentFile PassEnvironment UnsetEnvironment WorkingDirectory StandardOutput StandardError`),
};

/** Settings without an effect that anyone would miss on a machine of processes: words for people, and boot order. */
const HARMLESS: Readonly<Record<string, ReadonlySet<string>>> = {
  Unit: words("Description Documentation DefaultDependencies CollectMode SourcePath IgnoreOnIsolate"),
  // NotifyAccess: whoever is given the way to report readiness may use it.
  Service: words(
    "NotifyAccess SyslogIdentifier SyslogFacility SyslogLevel SyslogLevelPrefix GuessMainPID OOMScoreAdjust ExecReload",
  ),
};

/** One sentence for each setting that has no effect here, so that nothing is ever silently wrong. */
export function unsupportedSettings(document: UnitDocument): string[] {
  const warnings = new Set<string>();
  for (const node of document.nodes) {
    if (node.type !== "option" || node.section === "Install" || node.section.startsWith("X-")) continue;
    if (node.name.startsWith("X-")) continue;
    const known = HONOURED[node.section];
    if (known === undefined) warnings.add(`the section [${node.section}] is not supported here and has no effect`);
    else if (!known.has(node.name) && HARMLESS[node.section]?.has(node.name) !== true) {
      warnings.add(`${node.name}= in [${node.section}] is not supported here and has no effect`);
    }
  }
  return [...warnings];
}
