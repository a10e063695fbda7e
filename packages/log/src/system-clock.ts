import type { Clock } from "@keelson/types";

/** The {@link Clock} of real machines. Timers do not keep the process alive on their own. */
export class SystemClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  after(delayMs: number, fn: () => void): Disposable {
    const timer = setTimeout(fn, delayMs);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  }

  every(periodMs: number, fn: () => void): Disposable {
    const timer = setInterval(fn, periodMs);
    timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}
