import { existsSync, rmSync } from "node:fs";
import { ControlClient, clusterDirectory, sweepDirectory, waitFor } from "@keelson/cluster";
import { Argument, Command, InvalidArgumentError } from "commander";
import { type ClusterView, look, render } from "../view.ts";

/** Writes to standard output. */
export interface Io {
  out(text: string): void;
}

interface Named {
  readonly name: string;
}

const DOWN_TIMEOUT_MS = 60_000;

/** Commands that steer a cluster which runs already, in any process of this user. */
export function steerCommands(defaultName: string, io: Io): Command[] {
  const command = (name: string, summary: string) =>
    new Command(name)
      .summary(summary)
      .description(`${summary[0]?.toUpperCase()}${summary.slice(1)}.`)
      .option("--name <cluster>", "which cluster", defaultName);
  const onMachine = (name: "kill" | "restart" | "pause" | "resume", summary: string, done: string) =>
    command(name, summary)
      .argument("<machine...>", "machine names, such as m1")
      .action(async (machines: string[], opts: Named) => {
        for (const machine of machines) {
          await new ControlClient(opts.name)[name](machine);
          io.out(`${machine} ${done}\n`);
        }
      });
  return [
    statusCommand(command("status", "show machines, etcd and units"), io),
    onMachine("kill", "cut the power of machines: everything on them ends at once", "killed"),
    onMachine("restart", "start killed machines again on their disks", "restarted"),
    onMachine("pause", "freeze machines", "paused"),
    onMachine("resume", "unfreeze machines", "resumed"),
    command("partition", "split the network: each argument is one side, the rest the other")
      .argument("<group...>", "machines of one side, such as m1 or m1,m2")
      .addHelpText(
        "after",
        "\nExamples:\n  keelson partition m1        m1 alone, the others together\n  keelson partition m1,m2 m3  two sides",
      )
      .action(async (groups: string[], opts: Named) => {
        await new ControlClient(opts.name).partition(groups.map((group) => group.split(",")));
        io.out(`partitioned: ${groups.join(" | ")} | the others\n`);
      }),
    command("heal", "end every partition").action(async (opts: Named) => {
      await new ControlClient(opts.name).heal();
      io.out("healed\n");
    }),
    command("logs", "print the newest logs of a machine")
      .argument("<machine>", "machine name")
      .addArgument(new Argument("[what]", "which logs").choices(["etcd", "fleetd", "system"]).default("system"))
      .action(async (machine: string, what: "etcd" | "fleetd" | "system", opts: Named) => {
        io.out(await new ControlClient(opts.name).logs(machine, what));
      }),
    command("exec", "run a shell command on a machine")
      .argument("<machine>", "machine name")
      .argument("<command...>", "the command")
      .passThroughOptions()
      .action(async (machine: string, words: string[], opts: Named) => {
        const { exitCode, stdout, stderr } = await new ControlClient(opts.name).exec(machine, words.join(" "));
        io.out(stdout);
        process.stderr.write(stderr);
        process.exitCode = exitCode;
      }),
  ];
}

function statusCommand(command: Command, io: Io): Command {
  return command
    .option("-o, --output <format>", "text or json", parseFormat, "text")
    .option("-w, --watch", "keep showing until interrupted")
    .action(async (opts: Named & { output: string; watch?: boolean }) => {
      const client = new ControlClient(opts.name);
      const show = (view: ClusterView) => io.out(opts.output === "json" ? `${JSON.stringify(view)}\n` : render(view));
      show(await look(await client.info()));
      while (opts.watch === true) {
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        const view = await look(await client.info());
        if (opts.output === "text") io.out("\x1b[H\x1b[J");
        show(view);
      }
    });
}

function parseFormat(value: string): string {
  if (value !== "text" && value !== "json") throw new InvalidArgumentError("give text or json");
  return value;
}

/** `cluster down`: asks the host to end, or cleans up after one that has crashed. */
export function downCommand(defaultName: string, io: Io): Command {
  return new Command("down")
    .summary("end the cluster and remove its machines")
    .description("End the cluster and remove its machines, also those of a harness that has crashed.")
    .option("--name <cluster>", "which cluster", defaultName)
    .action(async (opts: Named) => {
      const client = new ControlClient(opts.name);
      if (await client.isUp()) {
        await client.down();
        // Its host removes the directory last.
        await waitFor("the end of the cluster", () => !existsSync(clusterDirectory(opts.name)), {
          timeoutMs: DOWN_TIMEOUT_MS,
        });
        rmSync(`${clusterDirectory(opts.name)}.log`, { force: true });
        io.out(`cluster ${opts.name} is down\n`);
      } else if (await sweepDirectory(clusterDirectory(opts.name))) {
        io.out(`cluster ${opts.name} had crashed; what it left is gone\n`);
      } else {
        io.out(`no cluster ${opts.name} is running\n`);
      }
    });
}
