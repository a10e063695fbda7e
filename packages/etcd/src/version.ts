/** The version that this server says it is. */
export const SERVER_VERSION = "3.7.1";
/** The version of the protocol that a cluster of it speaks. */
export const CLUSTER_VERSION = "3.7.0";
