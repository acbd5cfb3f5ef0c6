const settings: Record<string, number> = {};
if (!("port" in settings)) throw new Error("no port");

export default function* main() {}
