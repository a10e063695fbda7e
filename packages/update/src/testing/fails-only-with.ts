/** Whether `work` ends, or throws an instance of `kind`; anything else is thrown on. */
export function failsOnlyWith(kind: new (...args: never[]) => Error, work: () => unknown): boolean {
  try {
    work();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
  }
  return true;
}
