import { KeyRange, type WatchHub } from "@keelson/mvcc";
