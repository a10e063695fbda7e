/** What `fn` throws; undefined when it returns. For properties that allow either. */
export function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Whether `fn` returns, or throws an error of this class and no other. */
export function returnsOrThrows(fn: () => unknown, type: abstract new (...args: never[]) => Error): boolean {
  const error = thrownBy(fn);
  if (error !== undefined && !(error instanceof type)) throw error;
  return true;
}
