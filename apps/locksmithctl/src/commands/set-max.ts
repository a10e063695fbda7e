import type { Context } from "../ctl.ts";
import { CommandError } from "../io.ts";
import { withSemaphore } from "./semaphore.ts";

/** `locksmithctl set-max N`. */
export async function setMax(context: Context): Promise<number> {
  const { args, io } = context;
  const [text] = args;
  if (args.length !== 1 || text === undefined) throw new CommandError("New maximum value must be set.");
  const max = Number(text);
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(max) || max < 0 || max > 2 ** 31 - 1) {
    throw new CommandError(`Invalid maximum value: ${text}`);
  }
  const { oldMax } = await withSemaphore(context, "Error setting value:", (semaphore) =>
    semaphore.setMax(max, io.signal),
  );
  io.out(`Old-Max: ${oldMax}\nMax: ${max}\n`);
  return 0;
}
