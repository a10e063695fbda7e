/** What the environment says; only this file reads it. */
export interface Config {
  readonly clusterName: string;
  readonly isInteractive: boolean;
}

export function readConfig(): Config {
  return {
    clusterName: process.env["KEELSON_CLUSTER"] ?? "default",
    isInteractive: process.stdout.isTTY === true,
  };
}
