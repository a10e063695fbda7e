import { parseUnit, type UnitDocument, type UnitNode } from "./document.ts";
import { UnitSyntaxError, UnitValueError } from "./errors.ts";

/**
 * Gives a setting one value: the first place that sets it changes, further ones go, a missing one is appended to its
 * section, a missing section to the file. Every other byte stays.
 *
 * @throws UnitValueError when the value would not read back as it is given
 */
export function setOption(document: UnitDocument, section: string, name: string, value: string): UnitDocument {
  const fresh = optionNode(document, section, name, value);
  let placed = false;
  const nodes: UnitNode[] = [];
  for (const node of document.nodes) {
    if (node.type !== "option" || node.section !== section || node.name !== name) nodes.push(node);
    else if (!placed) {
      placed = true;
      nodes.push(fresh);
    }
  }
  return placed ? renumber(nodes) : addOption(document, section, name, value);
}

/** Appends a setting at the end of the last section of that name, or in a new one at the end. Every other byte stays. */
export function addOption(document: UnitDocument, section: string, name: string, value: string): UnitDocument {
  const fresh = optionNode(document, section, name, value);
  const nodes = endedWithNewline(document);
  const header = nodes.findLastIndex((node) => node.type === "section" && node.name === section);
  if (header === -1) {
    const eol = eolOf(document);
    const raw = `${nodes.length > 0 && nodes.at(-1)?.type !== "blank" ? eol : ""}[${section}]${eol}`;
    return reparse([...nodes.map((node) => node.raw), raw, fresh.raw]);
  }
  let at = header + 1;
  for (let i = at; i < nodes.length && nodes[i]?.type !== "section"; i++) if (nodes[i]?.type === "option") at = i + 1;
  return renumber(nodes.toSpliced(at, 0, fresh));
}

/** Removes every occurrence of a setting. Its section's header stays. */
export function removeOption(document: UnitDocument, section: string, name: string): UnitDocument {
  return renumber(
    document.nodes.filter((node) => node.type !== "option" || node.section !== section || node.name !== name),
  );
}

function eolOf(document: UnitDocument): string {
  const first = document.nodes[0]?.raw ?? "";
  return first.endsWith("\r\n") || first.includes("\r\n") ? "\r\n" : "\n";
}

function endedWithNewline(document: UnitDocument): readonly UnitNode[] {
  const last = document.nodes.at(-1);
  if (last === undefined || last.raw.endsWith("\n")) return document.nodes;
  return [...document.nodes.slice(0, -1), { ...last, raw: last.raw + eolOf(document) }];
}

function optionNode(
  document: UnitDocument,
  section: string,
  name: string,
  value: string,
): UnitNode & { type: "option" } {
  const raw = `${name}=${value.replaceAll("\n", eolOf(document))}${eolOf(document)}`;
  try {
    const nodes = parseUnit(`[${section}]\n${raw}`).nodes;
    const [header, node] = nodes;
    if (
      nodes.length === 2 &&
      header?.type === "section" &&
      header.name === section &&
      node?.type === "option" &&
      node.name === name &&
      node.value === value
    ) {
      return { ...node, raw };
    }
  } catch (cause) {
    if (!(cause instanceof UnitSyntaxError)) throw cause;
    throw new UnitValueError(`${name}= in [${section}] cannot be written as a setting`, { section, name }, { cause });
  }
  throw new UnitValueError(
    `${name}= in [${section}] would not read back as given; escape its line ends with a backslash`,
    { section, name },
  );
}

function renumber(nodes: readonly UnitNode[]): UnitDocument {
  let line = 1;
  return {
    nodes: nodes.map((node) => {
      const numbered = { ...node, line };
      line += node.raw.split("\n").length - (node.raw.endsWith("\n") ? 1 : 0);
      return numbered;
    }),
  };
}

function reparse(raws: readonly string[]): UnitDocument {
  return parseUnit(raws.join(""));
}
