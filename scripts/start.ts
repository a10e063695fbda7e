// npm start [-- --vm | --container] [--machines N] [--once]: a cluster with a running unit and a live view. VMs and
// containers are made from the image, which is built first when there is none or its sources have changed.
//
// The keelson program itself, in this process, so that Ctrl-C reaches it and nothing else.
process.argv.splice(2, 0, "cluster", "up", "--foreground", "--demo");
await import("../apps/keelson/src/main.ts");
