const UNIT_PATH = "/org/freedesktop/systemd1/unit/";

/** A unit's object path. Source: systemd src/basic/bus-label.c: everything but letters and digits is `_xx`. */
export function unitPath(name: string): string {
  let label = "";
  for (const byte of new TextEncoder().encode(name)) {
    const char = String.fromCharCode(byte);
    const plain = /[A-Za-z0-9]/.test(char) && !(label === "" && /[0-9]/.test(char));
    label += plain ? char : `_${byte.toString(16).padStart(2, "0")}`;
  }
  return `${UNIT_PATH}${label === "" ? "_" : label}`;
}

/** The unit of an object path; undefined when it is no unit's. */
export function unitOfPath(path: string): string | undefined {
  if (!path.startsWith(UNIT_PATH)) return undefined;
  const label = path.slice(UNIT_PATH.length);
  if (label === "_") return "";
  const bytes: number[] = [];
  for (let i = 0; i < label.length; i++) {
    const hex = label[i] === "_" ? label.slice(i + 1, i + 3) : "";
    if (/^[0-9a-f]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      i += 2;
    } else bytes.push(label.charCodeAt(i));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
