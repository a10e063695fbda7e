import { assert, type Clock } from "@keelson/types";

/** Runs `fn` every `periodMs` of `clock`, by a chain of single events. */
export function repeat(clock: Pick<Clock, "after">, periodMs: number, fn: () => void): Disposable {
  assert(periodMs > 0, "a period is positive", { periodMs });
  let stopped = false;
  let timer: Disposable;
  const fire = () => {
    timer = clock.after(periodMs, fire);
    fn();
  };
  timer = clock.after(periodMs, fire);
  return {
    [Symbol.dispose]: () => {
      if (stopped) return;
      stopped = true;
      timer[Symbol.dispose]();
    },
  };
}
