import type { Command } from "commander";
import type { Context } from "../context.ts";
import { badArgs } from "../exit.ts";

/** `completion SHELL`: a script for the shell, made from the commands and flags themselves. */
export function addCompletionCommand(program: Command, context: Context): void {
  program
    .command("completion")
    .summary("prints a completion script for bash, zsh or fish")
    .argument("[shell]", "bash, zsh or fish")
    .addHelpText("after", "\nExample:\n  source <(etcdctl completion bash)\n  etcdctl completion fish | source")
    .action((shell: string | undefined) => {
      const script = shell === "bash" ? bash : shell === "zsh" ? zsh : shell === "fish" ? fish : undefined;
      if (script === undefined) return badArgs("completion needs one argument: bash, zsh or fish");
      context.io.out(script(tree(program)));
    });
}

/** Words that can follow each path of commands: `""` for the program, `"lease"`, `"lease grant"`. */
function tree(program: Command): Map<string, string[]> {
  const globals = program.options.flatMap((o) => (o.long === null || o.long === undefined ? [] : [o.long]));
  const words = new Map<string, string[]>();
  const visit = (command: Command, path: string) => {
    const names = command.commands.map((c) => c.name());
    const flags = command === program ? [] : command.options.flatMap((o) => (o.long ? [o.long] : []));
    words.set(path, [...names, ...flags, ...globals, "--help"]);
    for (const child of command.commands) visit(child, path === "" ? child.name() : `${path} ${child.name()}`);
  };
  visit(program, "");
  return words;
}

function cases(words: Map<string, string[]>, line: (path: string, words: string) => string): string {
  return [...words].map(([path, list]) => line(path, list.join(" "))).join("");
}

function bash(words: Map<string, string[]>): string {
  return `_etcdctl() {
  local path="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  local words=""
  case "$path" in
${cases(words, (path, list) => `    "${path}") words="${list}" ;;\n`)}  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _etcdctl etcdctl
`;
}

function zsh(words: Map<string, string[]>): string {
  return `#compdef etcdctl
autoload -U +X bashcompinit && bashcompinit
${bash(words)}`;
}

function fish(words: Map<string, string[]>): string {
  return `function __etcdctl_path
  set -l path
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; or set -a path $word
  end
  string join ' ' -- $path
end
${cases(words, (path, list) => `complete -c etcdctl -n 'test "$(__etcdctl_path)" = "${path}"' -a '${list}'\n`)}`;
}
