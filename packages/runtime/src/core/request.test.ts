import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RequestError } from "../errors.ts";
import { parseRunArguments } from "./request.ts";
import { refusalOf } from "./testing.ts";

const parse = (line: string) => parseRunArguments(line.split(" ").filter(Boolean)).request;

describe("rkt's grammar", () => {
  it("gives an app's flags to the image before them", () => {
    const { apps } = parse("--net=host one --memory=64Mi --name a -- x --memory=1 --- two --memory=128Mi -- y ---");
    expect(apps.map(({ image, name, memoryBytes, args }) => ({ image, name, memoryBytes, args }))).toEqual([
      { image: "one", name: "a", memoryBytes: 64 * 2 ** 20, args: ["x", "--memory=1"] },
      { image: "two", name: undefined, memoryBytes: 128 * 2 ** 20, args: ["y"] },
    ]);
  });

  it("takes flags of the pod anywhere", () => {
    const request = parse("one --port=80:8080 --hostname=web --dns=10.0.0.1 --dns=10.0.0.2");
    expect(request).toMatchObject({
      hostname: "web",
      ports: [{ containerPort: 80, hostPort: 8080 }],
      dns: { mode: "list", servers: ["10.0.0.1", "10.0.0.2"] },
    });
    expect(request.net).toEqual({ kind: "cni", networks: [{ name: "default", args: [] }] });
  });

  it("drops and adds capabilities", () => {
    expect(parse("one --caps-retain=net_bind_service").apps[0]?.capabilities).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(parse("one --caps-retain=").apps[0]?.capabilities).toEqual([]);
    expect(parse("one --caps-add=net_admin --caps-remove=chown,kill").apps[0]?.capabilities).toHaveLength(10);
    expect(parse("--insecure-options=capabilities one").apps[0]?.capabilities).toEqual(["all"]);
  });

  it.each([
    ["", "no image"],
    ["--net=host", "no image"],
    ["--memory=64Mi one", "--memory belongs to an app"],
    ["-- x", "an image must stand before --"],
    ["one ---", "--- ends an app's arguments"],
    ["one --bogus", "there is no flag --bogus"],
    ["one --memory", "--memory needs a value"],
    ["one --memory=64Mi --memory=65Mi", "--memory is given twice"],
    ["one --name=A", "--name:"],
    ["--net=host,default one", "joins host or none"],
    ["--net=default --net=default one", "joined twice"],
    ["--net=host --port=80:80 one", "nothing to publish"],
    ["--port=80:80 --port=81:80 one", "published twice"],
    ["--dns=none --dns=1.2.3.4 one", "joins host or none"],
    ["--volume=a,kind=empty --volume=a,kind=empty one", "given twice"],
    ["one --mount=volume=a,target=/a", "is not the name of a --volume"],
    ["--volume=a,kind=empty one --mount=volume=a,target=/a --mount=volume=a,target=/a", "has two volumes"],
    ["--insecure-options=everything one", "is none of"],
    ["--pull-policy=maybe one", "--pull-policy"],
    ["--net=host --sysctl=net.core.somaxconn=1 one", "the machine's own"],
    ["one --seccomp=off", "--seccomp"],
    ["one --restart=sometimes", "--restart"],
    ["one --readonly-rootfs=maybe", "neither true nor false"],
    ["one --caps-retain=chown --caps-add=kill", "--caps-retain"],
    ["one --oom-score-adj=1001", "--oom-score-adj"],
    ["one --cpu-shares=1", "--cpu-shares"],
    ["--pod-name=../x one", "--pod-name"],
    [Array.from({ length: 33 }, (_, i) => `i${i}`).join(" "), "32 apps"],
  ])("refuses %j", (line, message) => {
    expect(() => parse(line)).toThrow(RequestError);
    expect(() => parse(line)).toThrow(message);
  });

  it("understands or refuses any words", () => {
    const word = fc.oneof(
      fc.constantFrom(
        "one",
        "--",
        "---",
        "--net=host",
        "--net",
        "--memory",
        "--volume=a,kind=empty",
        "--mount=volume=a,target=/a",
        "-",
        "--=",
        "--x",
        "--name=a",
        "--constructor",
        "--__proto__=1",
        "--toString",
      ),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (argv) => {
        const apps: unknown[] = [];
        const refusal = refusalOf(() => apps.push(...parseRunArguments(argv).request.apps));
        expect(apps.length > 0).toBe(refusal === undefined);
      }),
      { numRuns: 3000 },
    );
  });
});
