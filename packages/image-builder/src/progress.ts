/** Where a build says what it is doing. */
export interface Progress {
  /** A new step begins. */
  step(text: string): void;
  /** Something about the step, worth a line only to those who ask for it. */
  detail(text: string): void;
  warn(text: string): void;
}

/** Says nothing. */
export const silentProgress: Progress = { step() {}, detail() {}, warn() {} };
