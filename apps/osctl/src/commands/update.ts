import type { AgentClient } from "@keelson/update/client";
import { Command, Option } from "commander";
import type { Io } from "../io.ts";

const SOCKET = "/run/keelson/updated.sock";
const WAIT_MS_MAX = 60_000;
const POLL_MS = 200;

/** Exit codes, beside 0: nothing answers; called wrongly; the agent will not. */
export const UPDATE_EXIT = { failed: 1, usage: 2, refused: 3 } as const;

interface Flags {
  readonly socket: string;
  readonly output: "text" | "json";
}

const EXAMPLES = `
Examples:
  osctl update status             what runs, what is going on, and why
  osctl update status -o json     the same for programs
  osctl update check              look for an update now
  osctl update now                look, and update at once: no waiting for rollout or window; the reboot lock still counts
  osctl update rollback           back to the version before; this machine will not take the present one again
  osctl update history

Exit codes: 0 done, 1 the agent does not answer, 2 called wrongly, 3 the agent refused and said why.`;

/** `osctl update`: a thin client of updated's socket. Nothing that builds images is loaded with it. */
export function updateCommand(io: Io): Command {
  const update = new Command("update")
    .summary("show and steer the updates of this machine")
    .addHelpText("after", EXAMPLES);
  const sub = (name: string, summary: string, run: (client: AgentClient, flags: Flags) => Promise<number>) => {
    const command = new Command(name)
      .summary(summary)
      .description(summary)
      .addOption(new Option("--socket <path>", "where updated listens").env("UPDATED_SOCKET").default(SOCKET))
      .addOption(
        new Option("-o, --output <format>", "for people or for programs").choices(["text", "json"]).default("text"),
      )
      .action(async (flags: Flags) => {
        const { AgentClient: Client } = await import("@keelson/update/client");
        const code = await run(new Client(flags.socket), flags);
        if (code !== 0) process.exitCode = code;
      });
    update.addCommand(command);
    return command;
  };
  const json = (value: unknown) => io.out(`${JSON.stringify(value, null, 2)}\n`);
  sub("status", "what runs, what is going on, and why", async (client, { output }) => {
    const status = await client.status();
    if (output === "json") json(status);
    else io.out((await import("./update-text.ts")).formatStatus(status));
    return 0;
  });
  sub("history", "what has been done to this machine", async (client, { output }) => {
    const history = await client.history();
    if (output === "json") json({ history });
    else io.out((await import("./update-text.ts")).formatHistory(history));
    return 0;
  });
  sub("check", "look for an update now, and say what was found", async (client, { output }) => {
    const code = await obey(io, client, "check");
    if (code !== 0) return code;
    const status = await settled(io, client);
    if (output === "json") json(status);
    else io.out((await import("./update-text.ts")).formatCheckResult(status));
    return status.lastCheck.error === null ? 0 : UPDATE_EXIT.failed;
  });
  for (const [name, summary, done] of [
    ["now", "look for an update, and take it without waiting for rollout or window", "looking for an update"],
    ["rollback", "go back to the version before, with a reboot", "going back"],
  ] as const) {
    sub(name, summary, async (client, { output }) => {
      const code = await obey(io, client, name);
      if (code !== 0) return code;
      if (output === "json") json({ accepted: name });
      else io.out(`${done}; follow it with: osctl update status\n`);
      return 0;
    });
  }
  return update;
}

async function obey(io: Io, client: AgentClient, name: "check" | "now" | "rollback"): Promise<number> {
  const { refused } = await client.command(name);
  if (refused === undefined) return 0;
  io.err(`osctl: ${name} is refused: ${refused}\n`);
  return UPDATE_EXIT.refused;
}

/** The status once the check is over, within bounds: a slow server is said to be so by the agent itself. */
async function settled(io: Io, client: AgentClient) {
  const startedMs = performance.now();
  for (;;) {
    const status = await client.status();
    const isOver = status.state !== "checking" || performance.now() - startedMs > WAIT_MS_MAX || io.signal.aborted;
    if (isOver) return status;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
