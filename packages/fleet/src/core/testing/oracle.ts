/**
 * The scheduler once more, for tests: slow, without indexes, caches or classes, each rule looked up anew in plain lists.
 * Written from the rules in README.md ("Who goes where"), not from the fast one.
 */
import { globMatches, metadataMatches } from "@keelson/unit";
import { byAge, type ClusterView, type Job } from "../model.ts";

type Where = Map<string, string>;

export interface OraclePlan {
  readonly where: ReadonlyMap<string, string>;
  readonly evicted: ReadonlyMap<string, string>;
}

export function oracle(view: ClusterView): OraclePlan {
  const active = view.jobs.filter((j) => j.desired !== "inactive").sort(byAge);
  const singles = active.filter((j) => !j.requirements.global);
  const globals = active.filter((j) => j.requirements.global);
  const machines = [...view.machines].sort((a, b) => (a.id < b.id ? -1 : 1));
  const job = (name: string) => singles.find((j) => j.name === name);
  const where: Where = new Map();
  const globalAt = new Set<string>();
  const evicted = new Map<string, string>();
  const held = new Set<string>();

  const declares = (a: Job, b: Job) => a.requirements.conflicts.some((g) => globMatches(g, b.name));
  const enemies = (a: Job, b: Job) => a.name !== b.name && (declares(a, b) || declares(b, a));
  const wantsToReplace = (a: Job, b: Job) =>
    a.name !== b.name && a.requirements.replaces.some((g) => globMatches(g, b.name));
  const reaches = (from: Job, to: Job) => {
    const seen = new Set([from]);
    for (const one of seen) for (const other of singles) if (wantsToReplace(one, other)) seen.add(other);
    return seen.has(to);
  };
  const replaces = (a: Job, b: Job) => wantsToReplace(a, b) && !reaches(b, a);
  const here = (m: string) => singles.filter((j) => where.get(j.name) === m);
  const globalsHere = (m: string) => globals.filter((g) => globalAt.has(`${g.name} ${m}`));
  const isHere = (name: string, m: string) => where.get(name) === m || globalAt.has(`${name} ${m}`);
  const needs = (j: Job) => {
    const names = new Set([j.name]);
    for (const n of names) for (const p of job(n)?.requirements.machineOf ?? []) names.add(p);
    return names;
  };
  const tied = (j: Job) => {
    const names = new Set([j.name]);
    for (const n of names) {
      for (const other of singles) {
        if (other.requirements.machineOf.includes(n)) names.add(other.name);
        if (other.name === n) for (const p of other.requirements.machineOf) if (job(p)) names.add(p);
      }
    }
    return singles.filter((one) => names.has(one.name));
  };
  const machineFits = (j: Job, m: string) => {
    const { machineId: id, machineMetadata } = j.requirements;
    const found = machines.find((one) => one.id === m);
    return (
      (id === undefined || id === m || id === m.slice(0, 8)) && metadataMatches(machineMetadata, found?.metadata ?? {})
    );
  };
  const fits = (j: Job, m: string, group: readonly Job[]) => {
    if (!machineFits(j, m)) return false;
    const near = [...here(m), ...globalsHere(m), ...group];
    if (j.requirements.machineOf.some((p) => !near.some((n) => n.name === p))) return false;
    if (near.some((n) => enemies(j, n))) return false;
    if ([...here(m), ...group].some((n) => replaces(n, j))) return false;
    const needed = new Set(group.flatMap((g) => [...needs(g)]));
    return !here(m).some((n) => replaces(j, n) && needed.has(n.name));
  };

  // 1. Who keeps its machine.
  for (const j of [...view.jobs].sort(byAge)) {
    if (j.target === undefined) continue;
    if (j.desired === "inactive") evicted.set(j.name, "inactive");
    else if (j.requirements.global) evicted.set(j.name, "global");
    else if (!machines.some((m) => m.id === j.target)) {
      if (view.isSettled ?? true) evicted.set(j.name, "gone");
      else held.add(j.name);
    } else where.set(j.name, j.target);
  }
  const drop = (bad: (j: Job, m: string) => boolean) => {
    for (let again = true; again; ) {
      again = false;
      for (const j of singles) {
        const m = where.get(j.name);
        if (m === undefined || !bad(j, m)) continue;
        where.delete(j.name);
        evicted.set(j.name, "unable");
        again = true;
      }
    }
  };
  drop((j, m) => j.requirements.machineOf.some((p) => where.get(p) !== m && !globals.some((g) => g.name === p)));
  const kept: Job[] = [];
  for (const j of singles) {
    const m = where.get(j.name);
    if (m === undefined) continue;
    if (machineFits(j, m) && !kept.some((k) => where.get(k.name) === m && enemies(j, k))) kept.push(j);
    else {
      where.delete(j.name);
      evicted.set(j.name, "unable");
    }
  }
  const replaced = kept.filter((j) => kept.some((k) => where.get(k.name) === where.get(j.name) && replaces(k, j)));
  for (const j of replaced) {
    where.delete(j.name);
    evicted.set(j.name, "unable");
  }
  for (const m of machines) {
    for (const g of globals) {
      const near = [...here(m.id), ...globalsHere(m.id)];
      const hasPeers = g.requirements.machineOf.every((p) => near.some((n) => n.name === p));
      if (machineFits(g, m.id) && hasPeers && !near.some((n) => enemies(g, n))) globalAt.add(`${g.name} ${m.id}`);
    }
  }
  drop((j, m) => j.requirements.machineOf.some((p) => !isHere(p, m)));

  // 2. Who gets a machine.
  const driven = new Map<string, number>();
  const isFree = (j: Job) => !where.has(j.name) && !held.has(j.name) && (driven.get(j.name) ?? 0) < 2;
  const queue = singles.filter(isFree);
  const unplace = (j: Job) => {
    where.delete(j.name);
    driven.set(j.name, (driven.get(j.name) ?? 0) + 1);
    queue.push(j);
  };
  const tryGroup = (group: readonly Job[], candidates: readonly string[]) => {
    const load = (m: string) => here(m).length + globalsHere(m).length;
    const able = candidates.filter((m) => group.every((j) => fits(j, m, group)));
    const best = able.sort((a, b) => load(a) - load(b) || (a < b ? -1 : 1))[0];
    if (best === undefined) return false;
    for (const j of group) where.set(j.name, best);
    for (const j of group) {
      for (const v of here(best)
        .filter((n) => replaces(j, n))
        .sort((a, b) => (a.name < b.name ? -1 : 1))) {
        if (where.get(v.name) !== best) continue;
        unplace(v);
        for (let again = true; again; ) {
          again = false;
          for (const d of tied(v)) {
            if (where.get(d.name) !== best || d.requirements.machineOf.every((p) => isHere(p, best))) continue;
            unplace(d);
            again = true;
          }
        }
      }
    }
    return true;
  };
  while (queue.length > 0) {
    const j = queue.shift();
    if (j === undefined || !isFree(j)) continue;
    let group = tied(j).filter(isFree);
    for (let before = -1; before !== group.length; ) {
      before = group.length;
      const known = (p: string) => group.some((g) => g.name === p) || where.has(p) || globals.some((g) => g.name === p);
      group = group.filter((g) => g.requirements.machineOf.every(known));
    }
    if (group.length === 0) continue;
    const anchors = [...new Set(tied(j).flatMap((t) => where.get(t.name) ?? []))];
    const candidates = anchors.length === 0 ? machines.map((m) => m.id) : anchors.length === 1 ? anchors : [];
    if (tryGroup(group, candidates)) continue;
    for (const g of [...group].sort((a, b) => needs(b).size - needs(a).size || byAge(a, b))) {
      if (!isFree(g)) continue;
      tryGroup(
        group.filter((o) => needs(g).has(o.name) && isFree(o)),
        machines.map((m) => m.id),
      );
    }
  }
  for (const j of view.jobs) if (held.has(j.name) && j.target !== undefined) where.set(j.name, j.target);
  return { where, evicted };
}
