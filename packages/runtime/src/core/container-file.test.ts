import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseContainerFile, renderContainerUnit } from "./container-file.ts";
import { parseRunArguments } from "./request.ts";
import { refusalOf } from "./testing.ts";

const WEB = `# The web.
[Unit]
Description=Web server %i
After=db.service

[Container]
Image=registry.example/web:1
Exec=--root /srv --greeting "hello $NAME" %i
Environment=A=1 "B=two words"
PublishPort=127.0.0.1:8080:80
PublishPort=5353:53/udp
Volume=/srv/web:/srv:ro
Volume=data:/data
Volume=/cache
Network=default
Memory=64Mi
Cpus=0.5
PidsLimit=100
User=web
ReadOnly=yes
AddCapability=NET_ADMIN SYS_TIME
DropCapability=all
StopTimeout=30

[Service]
Restart=always
ExecStartPre=/bin/true

[Install]
WantedBy=multi-user.target

[X-Fleet]
Conflicts=web@*.service
`;

describe("a .container file", () => {
  it("becomes the unit that it became", async () => {
    await expect(renderContainerUnit("web@", WEB.replace("DropCapability=all\n", ""))).toMatchFileSnapshot(
      new URL("../../testdata/web@.service", import.meta.url).pathname,
    );
  });

  it("becomes arguments that rkt prepare takes", () => {
    const { arguments: argv } = parseContainerFile(
      "db",
      WEB.replace("AddCapability=NET_ADMIN SYS_TIME\n", "").replaceAll("%i", "x"),
    );
    const { request } = parseRunArguments(argv);
    expect(request.apps[0]).toMatchObject({
      image: "registry.example/web:1",
      name: "db",
      user: "web",
      readOnlyRootfs: true,
      capabilities: [],
      environment: ["A=1", "B=two words"],
    });
    expect(request.apps[0]?.args).toEqual(["--root", "/srv", "--greeting", "hello $NAME", "x"]);
    expect(request.ports).toEqual([
      { containerPort: 80, protocol: "tcp", hostPort: 8080, hostIp: "127.0.0.1" },
      { containerPort: 53, protocol: "udp", hostPort: 5353 },
    ]);
    expect(request.volumes.map((volume) => (volume.kind === "host" ? volume.source : "empty"))).toEqual([
      "/srv/web",
      "/var/lib/rkt/volumes/data",
      "empty",
    ]);
  });

  it("has no network of its own with that of the machine", () => {
    const unit = renderContainerUnit("tool", "[Container]\nImage=tool\nNetwork=host\n");
    expect(unit).not.toContain("PrivateNetwork");
    expect(unit).not.toContain("rt-net");
    expect(unit).toContain("Description=container tool\n");
  });

  it.each([
    ["[Container]\nExec=x\n", "needs Image="],
    ["[Unit]\n", "needs Image="],
    ["[Container]\nImage=a\nPodmanArgs=x\n", "web.container:3: PodmanArgs= is not known"],
    ["[Container]\nImage=a\nMemory=lots\n", "web.container:3: Memory="],
    ["[Container]\nImage=a\nPublishPort=80\n", "web.container:3: PublishPort="],
    ["[Container]\nImage=a\nVolume=/a:/b:rx\n", "web.container:3: Volume="],
    ["[Container]\nImage=a\nVolume=../x:/b\n", "neither an absolute path nor a name"],
    ["[Container]\nImage=a\nVolume=/a:/../b\n", "web.container:3: Volume="],
    ["[Container]\nImage=a\nReadOnly=perhaps\n", "web.container:3: ReadOnly="],
    ["[Container]\nImage=a\nSeccompProfile=/x.json\n", "unconfined"],
    ["[Container]\nImage=a\nUser=\n", "--user"],
    ["[Container]\nImage=a\n[Service]\nExecStart=/bin/sh\n", "ExecStart= of [Service] follows from [Container]"],
    ["[Container]\nImage=a\n[Service]\nUser=x\n", "User= of [Service]"],
    ["Image=a\n", "before the first"],
  ])("is refused: %j", (text, message) => expect(() => parseContainerFile("web", text)).toThrow(message));

  it("is understood or refused, whatever it is", () => {
    const key = fc.constantFrom(
      "Image",
      "Exec",
      "Environment",
      "Volume",
      "PublishPort",
      "Memory",
      "Network",
      "User",
      "AddHost",
      "Tmpfs",
      "Pull",
      "Ulimit",
      "constructor",
      "X",
    );
    const text = fc
      .array(fc.tuple(key, fc.string()), { maxLength: 8 })
      .map((pairs) => `[Container]\n${pairs.map(([name, value]) => `${name}=${value}\n`).join("")}`);
    fc.assert(
      fc.property(text, (content) => {
        expect(refusalOf(() => renderContainerUnit("web", content))).not.toBe("");
      }),
      { numRuns: 1000 },
    );
  });
});
