// One member of Keelson's etcd as a process, for tests that kill it. Arguments: a JSON of EtcdOptions.
import { Etcd, type EtcdOptions } from "@keelson/etcd";

const options = JSON.parse(process.argv[2] ?? "{}") as EtcdOptions;
const etcd = await Etcd.start(options);
await etcd.ready;
process.stdout.write("ready\n");
