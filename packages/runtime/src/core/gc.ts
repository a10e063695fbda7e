import type { PodState } from "./state.ts";

/** A pod as the collector sees it. */
export interface GcPod {
  readonly uuid: string;
  readonly state: PodState;
  /** Since when its directory is in its phase. */
  readonly sinceMs: number;
  /** A unit that still exists starts this pod again. */
  readonly isKept: boolean;
}

/** What is to be done, and why. */
export type GcAction =
  | {
      readonly action: "mark";
      readonly uuid: string;
      readonly to: "exited-garbage" | "garbage";
      readonly reason: string;
    }
  | { readonly action: "delete"; readonly uuid: string; readonly reason: string };

/** How long things are kept. */
export interface GcOptions {
  readonly nowMs: number;
  /** Between the mark of an exited pod and its deletion. rkt: 30 minutes. */
  readonly graceMs: number;
  /** How long a prepared pod may wait for its start. rkt: 24 hours. */
  readonly preparedMs: number;
  /** Mark, delete nothing. */
  readonly isMarkOnly: boolean;
}

/**
 * Decides what to collect. Every action can be done twice, and a crash after any of them leaves a state from which the
 * next run goes on.
 */
export function planGc(pods: readonly GcPod[], options: GcOptions): GcAction[] {
  const actions: GcAction[] = [];
  const isOld = (pod: GcPod, ms: number) => options.nowMs - pod.sinceMs >= ms;
  for (const pod of pods) {
    const mark = (to: "exited-garbage" | "garbage", reason: string) =>
      actions.push({ action: "mark", uuid: pod.uuid, to, reason });
    const remove = (reason: string) => {
      if (!options.isMarkOnly) actions.push({ action: "delete", uuid: pod.uuid, reason });
    };
    switch (pod.state) {
      case "embryo":
        // A moment's state: an old one belongs to a process that died.
        if (isOld(pod, EMBRYO_MS)) mark("garbage", "its preparation was never begun");
        break;
      case "aborted prepare":
        mark("garbage", "its preparation was interrupted");
        break;
      case "prepared":
        if (isOld(pod, options.preparedMs)) mark("garbage", "it was prepared and never run");
        break;
      case "exited":
        if (!pod.isKept) {
          mark("exited-garbage", "it has exited");
          if (options.graceMs === 0) remove("it has exited");
        }
        break;
      case "exited garbage":
        if (isOld(pod, options.graceMs)) remove("it exited long ago");
        break;
      case "garbage":
        remove("it never ran");
        break;
      case "preparing":
      case "running":
        break;
    }
    const last = actions.at(-1);
    if (last?.action === "mark" && last.uuid === pod.uuid && last.to === "garbage") remove(last.reason);
  }
  return actions;
}

const EMBRYO_MS = 60_000;
