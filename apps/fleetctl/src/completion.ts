import { CommandError } from "./io.ts";

/** `fleetctl completion bash|zsh|fish`: a script to be sourced. Unit names come from the cluster when it answers. */
export function completionScript(shell: string, commands: readonly string[]): string {
  const words = commands.join(" ");
  const units = "fleetctl list-unit-files --no-legend --fields unit 2>/dev/null";
  if (shell === "bash") {
    return `_fleetctl() {
  local cur=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "${words}" -- "$cur")); return; fi
  COMPREPLY=($(compgen -W "$(${units})" -- "$cur") $(compgen -f -- "$cur"))
}
complete -F _fleetctl fleetctl
`;
  }
  if (shell === "zsh") {
    return `#compdef fleetctl
_fleetctl() {
  if (( CURRENT == 2 )); then compadd ${words}; return; fi
  compadd -- \${(f)"$(${units})"}
  _files
}
compdef _fleetctl fleetctl
`;
  }
  if (shell === "fish") {
    return `complete -c fleetctl -n __fish_use_subcommand -f -a "${words}"
complete -c fleetctl -n "not __fish_use_subcommand" -a "(${units})"
`;
  }
  throw new CommandError(`no completion for ${JSON.stringify(shell)}: bash, zsh or fish`);
}
