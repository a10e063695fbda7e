import { Etcd } from "@keelson/etcd";

const etcd = await Etcd.start({ dataDir: process.argv[2] ?? "" });
process.send?.(etcd.clientUrls[0]);
process.on("SIGTERM", () => void etcd.close().then(() => process.exit(0)));
