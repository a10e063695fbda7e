/** What `fleetd --version`, `fleetctl version`, the API's Server header and machine records say. */
export const VERSION = "0.1.0";
