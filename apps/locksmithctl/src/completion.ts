import { CommandError } from "./io.ts";

/** A script to be sourced. Holders come from the cluster when it answers. */
export function completionScript(shell: string, commands: readonly string[]): string {
  const words = commands.join(" ");
  const holders = "locksmithctl status 2>/dev/null | sed '1,/^MACHINE ID/d'";
  if (shell === "bash") {
    return `_locksmithctl() {
  local cur=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "${words}" -- "$cur")); return; fi
  case \${COMP_WORDS[1]} in
    help) COMPREPLY=($(compgen -W "${words}" -- "$cur"));;
    unlock) COMPREPLY=($(compgen -W "--stale $(${holders})" -- "$cur"));;
    status) COMPREPLY=($(compgen -W "--output text wide json" -- "$cur"));;
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$cur"));;
  esac
}
complete -F _locksmithctl locksmithctl
`;
  }
  if (shell === "zsh") {
    return `#compdef locksmithctl
_locksmithctl() {
  if (( CURRENT == 2 )); then compadd ${words}; return; fi
  case \${words[2]} in
    help) compadd ${words};;
    unlock) compadd -- --stale \${(f)"$(${holders})"};;
    status) compadd -- --output text wide json;;
    completion) compadd bash zsh fish;;
  esac
}
compdef _locksmithctl locksmithctl
`;
  }
  if (shell === "fish") {
    return `complete -c locksmithctl -f
complete -c locksmithctl -n __fish_use_subcommand -a "${words}"
complete -c locksmithctl -n "__fish_seen_subcommand_from help" -a "${words}"
complete -c locksmithctl -n "__fish_seen_subcommand_from unlock" -l stale -a "(${holders})"
complete -c locksmithctl -n "__fish_seen_subcommand_from status" -l output -a "text wide json"
complete -c locksmithctl -n "__fish_seen_subcommand_from completion" -a "bash zsh fish"
`;
  }
  throw new CommandError(`no completion for ${JSON.stringify(shell)}: bash, zsh or fish`);
}
