import fc from "fast-check";
import { expect, it } from "vitest";
import { type EtcEntry, type EtcManifest, planEtcMerge } from "./etc-merge.ts";

// A manifest in a line: "a=1 d/ d/b=2 l>a m=1:600": files with content and mode, directories, symlinks.
function manifest(text: string): EtcManifest {
  const entries = text.split(" ").filter((word) => word !== "");
  return new Map(entries.map((word) => parseEntry(word)));
}

function parseEntry(word: string): [string, EtcEntry] {
  const [body = "", mode] = word.split(":");
  const link = /^(.+)>(.+)$/.exec(body);
  if (link !== null) return [link[1] ?? "", { kind: "symlink", target: link[2] ?? "", uid: 0, gid: 0, mode: 0o777 }];
  const file = /^(.+)=(.+)$/.exec(body);
  const bits = Number.parseInt(mode ?? (file === null ? "755" : "644"), 8);
  if (file === null) return [body.replace(/\/$/, ""), { kind: "dir", uid: 0, gid: 0, mode: bits }];
  return [file[1] ?? "", { kind: "file", content: file[2] ?? "", uid: 0, gid: 0, mode: bits }];
}

function format([path, entry]: readonly [string, EtcEntry]): string {
  const mode = entry.mode.toString(8);
  if (entry.kind === "symlink") return `${path}>${entry.target}`;
  if (entry.kind === "dir") return mode === "755" ? `${path}/` : `${path}/:${mode}`;
  return mode === "644" ? `${path}=${entry.content}` : `${path}=${entry.content}:${mode}`;
}

/** Does what the actions say to the new defaults; fails where a file system would. */
function apply(start: EtcManifest, plan: ReturnType<typeof planEtcMerge>): EtcManifest {
  const tree = new Map(start);
  for (const step of plan.actions) {
    const { action, path } = step;
    const there = tree.get(path)?.kind;
    const parent = path.includes("/") ? tree.get(path.slice(0, path.lastIndexOf("/")))?.kind : "dir";
    const possible = {
      remove: there !== undefined,
      mkdir: there === undefined,
      chattr: there === "dir",
      copy: there !== "dir",
    };
    if (parent !== "dir" || !possible[action]) throw new Error(`cannot ${action} ${path}: ${there} in ${parent}`);
    if (step.action !== "remove") tree.set(path, step.entry);
    else for (const other of tree.keys()) if (other === path || other.startsWith(`${path}/`)) tree.delete(other);
  }
  return tree;
}

const show = (tree: EtcManifest) => [...tree].map(format).sort().join(" ");

it.each<[title: string, old: string, fresh: string, current: string, merged: string, conflicts: string]>([
  ["nothing changed here: the new defaults", "a=1 b=1", "a=2 c=1", "a=1 b=1", "a=2 c=1", ""],
  ["a changed file is kept", "a=1", "a=1", "a=9", "a=9", ""],
  ["a changed file is kept over a changed default", "a=1", "a=2", "a=9", "a=9", "a: both-changed"],
  ["the same change on both sides is no conflict", "a=1", "a=2", "a=2", "a=2", ""],
  ["a changed file is kept when the default went", "a=1", "", "a=9", "a=9", "a: default-removed"],
  ["an unchanged file goes with its default", "a=1", "", "a=1", "", ""],
  ["an added file is kept", "", "", "a=9", "a=9", ""],
  ["an added file is kept over a new default of the same name", "", "a=1", "a=9", "a=9", "a: both-changed"],
  ["a removed file stays removed", "a=1", "a=1", "", "", ""],
  ["a removed file stays removed when its default changed", "a=1", "a=2", "", "", "a: removed-here"],
  ["a removed directory takes new defaults below it along", "d/ d/a=1", "d/ d/a=1 d/b=1", "", "", ""],
  ["a changed mode is a change", "a=1", "a=2", "a=1:600", "a=1:600", "a: both-changed"],
  ["a changed mode of a directory is kept", "d/ d/a=1", "d/ d/a=2", "d/:700 d/a=1", "d/:700 d/a=2", ""],
  ["a directory follows its default's mode beside a local file", "d/", "d/:750", "d/ d/x=9", "d/:750 d/x=9", ""],
  ["a retargeted symlink is kept", "l>a", "l>b", "l>c", "l>c", "l: both-changed"],
  ["a file that became a symlink is kept", "a=1", "a=2", "a>b", "a>b", "a: both-changed"],
  ["an added file keeps the directory that the defaults dropped", "d/ d/a=1", "", "d/ d/a=1 d/x=9", "d/ d/x=9", ""],
  ["a directory replaced by a file here stays a file", "d/ d/a=1", "d/ d/a=1 d/b=1", "d=9", "d=9", ""],
  ["a file replaced by a directory here stays one", "f=1", "f=1", "f/ f/x=9", "f/ f/x=9", ""],
  ["and joins the default that became a directory too", "f=1", "f/ f/n=1", "f/ f/x=9", "f/ f/n=1 f/x=9", ""],
  ["a default file that became a directory", "f=1", "f/ f/n=1", "f=1", "f/ f/n=1", ""],
  ["a changed file stays although the default is a directory now", "f=1", "f/ f/n=1", "f=9", "f=9", "f: type"],
  ["a default directory that became a file", "d/ d/a=1", "d=1", "d/ d/a=1", "d=1", ""],
  [
    "a directory with local files stays although it is a file now",
    "d/ d/a=1",
    "d=1",
    "d/ d/x=9",
    "d/ d/x=9",
    "d: type",
  ],
  ["deep additions bring their directories", "", "", "x/ x/y/ x/y/z=9", "x/ x/y/ x/y/z=9", ""],
])("%s", (_title, old, fresh, current, merged, conflicts) => {
  const plan = planEtcMerge(manifest(old), manifest(fresh), manifest(current));
  expect(show(apply(manifest(fresh), plan))).toBe(show(manifest(merged)));
  expect(plan.conflicts.map(({ path, reason }) => `${path}: ${reason}`).join(", ")).toBe(conflicts);
});

it("counts changes as upstream does", () => {
  const old = manifest("a=1 b=1 c=1 d/ d/x=1 e/ e/x=1");
  const current = manifest("a=9 b=1 e=1 n/ n/x=1");
  expect(planEtcMerge(old, old, current).changes).toEqual({ modified: 2, removed: 2, added: 2 });
});

it("takes xattrs as a change unless told to ignore them", () => {
  const plain: EtcEntry = { kind: "file", content: "1", uid: 0, gid: 0, mode: 0o644 };
  const labelled: EtcEntry = { ...plain, xattrs: [{ name: "user.x", value: new Uint8Array([1]) }] };
  const [old, fresh, current] = [plain, { ...plain, content: "2" }, labelled].map((entry) => new Map([["a", entry]]));
  if (old === undefined || fresh === undefined || current === undefined) throw new Error("three manifests");
  expect(planEtcMerge(old, fresh, current).actions).toEqual([{ action: "copy", path: "a", entry: labelled }]);
  expect(planEtcMerge(old, fresh, current, { xattrs: "ignore" }).actions).toEqual([]);
});

const tree: fc.Arbitrary<EtcManifest> = fc
  .array(
    fc.tuple(fc.constantFrom("a", "a/a", "a/a/a", "a/b", "b", "b/a", "c"), fc.constantFrom("dir", "1", "2", ">")),
    {
      maxLength: 7,
    },
  )
  .map((pairs) => {
    const entries = new Map<string, EtcEntry>();
    for (const [path, kind] of pairs.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const slash = path.lastIndexOf("/");
      if (slash > 0 && entries.get(path.slice(0, slash))?.kind !== "dir") continue;
      const attributes = { uid: 0, gid: 0, mode: 0o755 };
      if (kind === "dir") entries.set(path, { kind, ...attributes });
      else if (kind === ">") entries.set(path, { kind: "symlink", target: "t", ...attributes });
      else entries.set(path, { kind: "file", content: kind, ...attributes });
    }
    return entries;
  });

it("of any three trees: applies cleanly, keeps every local change, and without any is the new defaults", () => {
  fc.assert(
    fc.property(tree, tree, tree, (old, fresh, current) => {
      const merged = apply(fresh, planEtcMerge(old, fresh, current));
      const local = [...current].filter(([path, entry]) => {
        const before = old.get(path);
        return before === undefined || format([path, before]) !== format([path, entry]);
      });
      const removed = [...old.keys()].filter((path) => !current.has(path));
      expect(local.map(([path]) => [path, merged.get(path)])).toEqual(local);
      expect(removed.filter((path) => merged.has(path))).toEqual([]);
      expect(show(apply(fresh, planEtcMerge(old, fresh, old)))).toBe(show(fresh));
      expect(show(apply(old, planEtcMerge(old, old, current)))).toBe(show(current));
    }),
    { numRuns: 2_000 },
  );
});
