import type { MemberAddResponse } from "@keelson/proto";
import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { badArgs, Exit, ExitError } from "../exit.ts";
import { quote } from "../go.ts";
import { memberIdArg } from "../numbers.ts";

export function addMemberCommand(program: Command, context: Context): void {
  const member = program.command("member").summary("members: add, list, promote, remove, update");
  addList(member, context);
  addAdd(member, context);
  member
    .command("remove")
    .summary("takes a member out of the cluster")
    .argument("[memberID]", "in hex")
    .addHelpText("after", "\nExample:\n  etcdctl member remove 8e9e05c52164694d")
    .action(async (_id, _flags, command: Command) => {
      const ID = onlyId(command.args);
      const printer = await context.printer(command);
      const { Cluster } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = await failing(client.call("write", Cluster.method.memberRemove, { ID }));
      context.io.out(printer.memberRemove(ID, reply));
    });
  member
    .command("update")
    .summary("changes the peer URLs of a member")
    .argument("[memberID]", "in hex")
    .option("--peer-urls <urls>", "with commas between them", "")
    .addHelpText("after", "\nExample:\n  etcdctl member update 8e9e05c52164694d --peer-urls=http://10.0.0.2:2380")
    .action(async (_id, flags: { peerUrls: string }, command: Command) => {
      const ID = onlyId(command.args);
      const peerURLs = urlsOf(flags.peerUrls);
      const printer = await context.printer(command);
      const { Cluster } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = await failing(client.call("write", Cluster.method.memberUpdate, { ID, peerURLs }));
      context.io.out(printer.memberUpdate(ID, reply));
    });
  member
    .command("promote")
    .summary("makes a learner a voting member")
    .argument("[memberID]", "in hex")
    .addHelpText("after", "\nExample:\n  etcdctl member promote 8e9e05c52164694d")
    .action(async (_id, _flags, command: Command) => {
      const ID = onlyId(command.args);
      const printer = await context.printer(command);
      const { Cluster } = await import("@keelson/proto");
      const client = await context.client(command);
      const reply = await failing(client.call("write", Cluster.method.memberPromote, { ID }));
      context.io.out(printer.memberPromote(ID, reply));
    });
}

function addList(member: Command, context: Context): void {
  member
    .command("list")
    .summary("lists all members")
    .option("--consistency <l|s>", "linearizable (l) or serializable (s)", "l")
    .addHelpText("after", "\nExample:\n  etcdctl member list -w table")
    .action(async (flags: { consistency: string }, command: Command) => {
      const printer = await context.printer(command);
      const { Cluster } = await import("@keelson/proto");
      const client = await context.client(command);
      const request = { linearizable: flags.consistency !== "s" };
      context.io.out(printer.memberList(await failing(client.call("read", Cluster.method.memberList, request))));
    });
}

function addAdd(member: Command, context: Context): void {
  member
    .command("add")
    .summary("adds a member")
    .argument("[name]", "the new member's name")
    .option("--peer-urls <urls>", "with commas between them", "")
    .option("--learner", "as a learner, without a vote")
    .addHelpText("after", "\nExample:\n  etcdctl member add node4 --peer-urls=http://10.0.0.4:2380")
    .action(async (name: string | undefined, flags: { peerUrls: string; learner?: boolean }, command: Command) => {
      if (name === undefined) return badArgs("member name not provided");
      if (command.args.length > 1) {
        const hints = command.args.filter((a) => /^http/i.test(a)).map((a) => `, did you mean --peer-urls=${a}`);
        return badArgs(`too many arguments${hints.join("")}`);
      }
      const peerURLs = urlsOf(flags.peerUrls);
      const printer = await context.printer(command);
      const { Cluster } = await import("@keelson/proto");
      const client = await context.client(command);
      const request = { peerURLs, isLearner: flags.learner === true };
      const reply = await failing(client.call("write", Cluster.method.memberAdd, request));
      context.io.out(printer.memberAdd(reply));
      if (context.globals(command).writeOut === "simple") context.io.out(nextSteps(name, flags.peerUrls, reply));
    });
}

/** What the new member must be started with. */
function nextSteps(name: string, peerUrls: string, reply: MemberAddResponse): string {
  const initial = reply.members.flatMap((m) =>
    m.peerURLs.map((url) => `${m.ID === reply.member?.ID ? name : m.name}=${url}`),
  );
  return (
    `\nETCD_NAME=${quote(name)}\nETCD_INITIAL_CLUSTER=${quote(initial.join(","))}\n` +
    `ETCD_INITIAL_ADVERTISE_PEER_URLS=${quote(peerUrls)}\nETCD_INITIAL_CLUSTER_STATE="existing"\n`
  );
}

function onlyId(args: readonly string[]): bigint {
  const [id] = args;
  return id === undefined || args.length > 1 ? badArgs("member ID is not provided") : memberIdArg(id);
}

function urlsOf(text: string): string[] {
  if (text === "") return badArgs("member peer urls not provided");
  const urls = text.split(",");
  const bad = urls.find((url) => !/^(http|https|unix|unixs):\/\//.test(url));
  if (bad !== undefined) throw new ExitError(Exit.ERROR, `URL scheme must be http, https, unix, or unixs: ${bad}`);
  return urls;
}
