import { assert } from "@keelson/types";
import { isTries, numberOf } from "./entry-name.ts";
import { BootStateError } from "./errors.ts";
import { TRIES_MAX } from "./layout.ts";
import type { LoaderView } from "./state.ts";

/** GRUB takes an environment block of exactly this size (include/grub/lib/envblk.h). */
export const GRUBENV_BYTES = 1024;
/** All variables are in the first sector, so that one sector write changes everything or nothing. */
export const SECTOR_BYTES = 512;

const SIGNATURE = "# GRUB Environment Block\n";

/** Reads an environment block: names and values as GRUB's `load_env` sees them. Pure. @throws BootStateError */
export function decodeGrubenv(block: Uint8Array): Map<string, string> {
  if (block.length !== GRUBENV_BYTES) {
    throw new BootStateError(`grubenv has ${block.length} bytes, not ${GRUBENV_BYTES}: restore it, or write it anew`);
  }
  const text = String.fromCharCode(...block);
  if (!text.startsWith(SIGNATURE)) throw new BootStateError("grubenv does not begin as GRUB's environment block does");
  const variables = new Map<string, string>();
  let at = SIGNATURE.length;
  while (at < text.length && text[at] !== "#") {
    const { line, next } = logicalLine(text, at);
    at = next;
    const equals = line.indexOf("=");
    if (equals > 0) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  // A comment ends what GRUB's tools write, but a reader skips it and goes on; nothing of ours comes after one.
  return variables;
}

/** One line with `\` undone: it escapes itself and line ends. */
function logicalLine(text: string, from: number): { line: string; next: number } {
  let line = "";
  let at = from;
  for (; at < text.length && text[at] !== "\n"; at++) {
    if (text[at] === "\\" && at + 1 < text.length) at++;
    line += text[at];
  }
  return { line, next: at + 1 };
}

/** Writes an environment block, padded with `#` as GRUB wants. Pure. */
export function encodeGrubenv(variables: ReadonlyMap<string, string>): Uint8Array {
  let text = SIGNATURE;
  for (const [name, value] of variables) {
    assert(/^[a-z_]+$/.test(name), "a grubenv name is lower-case letters", { name });
    assert(/^[\x20-\x7e]*$/.test(value), "a grubenv value is printable ASCII", { name, value });
    text += `${name}=${value.replaceAll("\\", "\\\\")}\n`;
  }
  assert(text.length <= SECTOR_BYTES, "grubenv's variables fit in one sector", { bytes: text.length });
  return Uint8Array.from(text.padEnd(GRUBENV_BYTES, "#"), (c) => c.charCodeAt(0));
}

/**
 * What GRUB will do, from its variables: `default` and `trial` are entry ids, `tries` those left, `of` those given.
 * A trial with a broken counter counts as used up, as GRUB's script takes it. Pure.
 */
export function viewFromGrubenv(variables: ReadonlyMap<string, string>): LoaderView {
  const id = (name: string) => {
    const value = variables.get(name);
    return value !== undefined && numberOf(value) !== undefined ? value : undefined;
  };
  const trial = id("trial");
  if (trial === undefined) return { default: id("default") };
  const digit = (name: string) => (/^\d$/.test(variables.get(name) ?? "") ? Number(variables.get(name)) : 0);
  const triesLeft = digit("tries");
  const triesDone = Math.max(0, digit("of") - triesLeft);
  return { default: id("default"), trial: { id: trial, triesLeft, triesDone } };
}

/** The variables that make GRUB do it. Pure. */
export function grubenvFromView(view: LoaderView): Map<string, string> {
  const variables = new Map<string, string>();
  if (view.default !== undefined) variables.set("default", view.default);
  if (view.trial !== undefined) {
    const { id, triesLeft, triesDone } = view.trial;
    const of = Math.min(triesLeft + triesDone, TRIES_MAX);
    assert(triesLeft === 0 || isTries(triesLeft), "tries are one digit", { triesLeft });
    variables.set("trial", id).set("tries", String(triesLeft)).set("of", String(of));
  }
  return variables;
}
