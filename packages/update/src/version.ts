/** Of the agent and the server; the whole repository shares it. */
export const VERSION = "0.1.0";
