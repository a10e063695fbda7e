import type { Command } from "commander";
import { type Context, failing } from "../context.ts";
import { Exit, ExitError } from "../exit.ts";
import { parseCompare, parseRequest } from "../txn-parse.ts";

const HELP = `
Standard input: comparisons, an empty line, requests if all hold, an empty line, requests otherwise, an empty line.
Targets: value("k") = "v"   version("k") > "0"   create("k") = "0"   mod("k") < "9"   lease("k") = "0"

Example:
  printf 'mod("k") > "0"\\n\\nput k new\\n\\nput k first\\n\\n' | etcdctl txn`;

export function addTxnCommand(program: Command, context: Context): void {
  program
    .command("txn")
    .summary("does several requests in one transaction")
    .option("-i, --interactive", "prompt for each part")
    .addHelpText("after", HELP)
    .action(async (flags: { interactive?: boolean }, command: Command) => {
      const printer = await context.printer(command);
      const input = context.io.lines()[Symbol.asyncIterator]();
      const part = async <T>(title: string, parse: (line: string) => T | Promise<T>): Promise<T[]> => {
        if (flags.interactive === true) context.io.out(`${title}:\n`);
        const items: T[] = [];
        for (;;) {
          const step = await input.next();
          if (step.done === true) throw new ExitError(Exit.INVALID_INPUT, "EOF");
          if (step.value === "") return items;
          items.push(await parse(step.value));
        }
      };
      const compare = await part("compares", parseCompare);
      const success = await part("success requests (get, put, del)", parseRequest);
      const failure = await part("failure requests (get, put, del)", parseRequest);
      const { KV } = await import("@keelson/proto");
      const client = await context.client(command);
      const request = { compare, success, failure };
      context.io.out(printer.txn(await failing(client.call("write", KV.method.txn, request))));
    });
}
