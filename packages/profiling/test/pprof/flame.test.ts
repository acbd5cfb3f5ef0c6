import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { flameGraphHTML, scaleProfile } from "../../src/pprof/index.ts";
import { profileOf } from "../support/profiles.ts";

describe("the flame graph", () => {
  const evil = "main.</script><b>&\u2028";
  const p = profileOf([
    [
      ["main.a", evil, "main.main"],
      [1, 300],
    ],
    [
      ["main.b", "main.main"],
      [2, 100],
    ],
  ]);

  it("is one page that loads nothing from outside, and text cannot escape into its markup", () => {
    const html = flameGraphHTML(p, { title: "A <title> & more" });
    expect(html).toContain("<title>A &#60;title&#62; &#38; more</title>");
    expect(html.match(/<script/g)).toHaveLength(2);
    expect(html).not.toMatch(/(?:src|href)\s*=/);
    expect(html).not.toContain(evil);
    const data = JSON.parse(/id="data">([^<]*)</.exec(html)![1]);
    expect(data.frames.some(([name]: [string]) => name === evil)).toBe(true);
    expect(data.tree[1]).toEqual([3, 400]);
    expect(data.first).toBe(1);
  });

  it("leaves out only the frames that are too narrow to see", () => {
    const many = profileOf([
      [["main.a"], [1, 1]],
      [["main.b"], [1, 1e9]],
    ]);
    const data = JSON.parse(/id="data">([^<]*)</.exec(flameGraphHTML(scaleProfile(many, [0, 1])))![1]);
    expect(data.tree[2]).toHaveLength(1);
  });

  it("draws, zooms, searches and changes the sample type", () => {
    const { elements, frames } = openPage(flameGraphHTML(p));
    const nameOf = (f: FakeElement) => f.title.split("  ")[0];
    const names = () => frames().map(nameOf);
    expect(names()).toEqual(["all", "main.main", evil, "main.b", "main.a"]);
    expect(frames()[0].textContent).toBe("all  400B (100.00%)");
    const frame = (name: string) => frames().find((f) => nameOf(f) === name)!;
    const width = (name: string) => Number(/width:([\d.]+)px/.exec(frame(name).style.cssText)![1]);
    expect(width("main.b") / width("main.main")).toBeCloseTo(100 / 400);
    elements.type.value = "0";
    elements.type.onchange!();
    expect(width("main.b") / width("main.main")).toBeCloseTo(2 / 3);
    frame("main.b").onclick!();
    expect(names()).toEqual(["all", "main.main", "main.b"]);
    expect(elements.info.textContent).toBe("main.b  2 (66.67%, 100.00% of main.b), own 2  /app/main.b.ts:1");
    elements.reset.onclick!();
    elements.search.value = "^main\\.b$";
    elements.search.oninput!();
    expect(
      frames()
        .filter((f) => f.className.includes("match"))
        .map(nameOf),
    ).toEqual(["main.b"]);
    expect(elements.found.textContent).toBe("2 (66.67%)");
    elements.search.value = "(";
    elements.search.oninput!();
    expect(elements.search.error).toMatch(/regular expression/);
  });

  it("moves the selection with the keys", () => {
    const { elements, frames } = openPage(flameGraphHTML(p));
    const press = (key: string) => elements.graph.onkeydown!({ key, preventDefault: () => {} });
    const at = () => elements.info.textContent.split("  ")[0];
    press("ArrowDown");
    expect(at()).toBe("all");
    press("ArrowDown");
    press("ArrowDown");
    expect(at()).toBe(evil);
    press("ArrowRight");
    expect(at()).toBe("main.b");
    press("ArrowRight");
    expect(at()).toBe("main.b");
    press("ArrowLeft");
    press("ArrowUp");
    expect(at()).toBe("main.main");
    press("ArrowDown");
    press("Enter");
    expect(frames().map((f) => f.title.split("  ")[0])).toEqual(["all", "main.main", evil, "main.a"]);
    press("Escape");
    expect(frames()).toHaveLength(5);
    press("Enter");
    press("Home");
    expect(frames()).toHaveLength(5);
  });

  it("shortens names that do not fit, and colours a difference by its sign", () => {
    const long = "github.com/someone/a-rather-long-name/pkg.(*Server).handle";
    const { frames } = openPage(
      flameGraphHTML(
        profileOf([
          [[long], [1, 30]],
          [["main.more"], [1, 70]],
          [["main.less"], [-5, -30]],
        ]),
      ),
    );
    const label = (name: string) => frames().find((f) => f.title.startsWith(name))!;
    expect(label(long).textContent).toBe("pkg.(*Server).handle");
    expect(label("main.more").style.cssText).toContain("hsl(8 ");
    expect(label("main.less").style.cssText).toContain("hsl(212 ");
  });

  it("says so if there are no samples", () => {
    const { elements, frames } = openPage(flameGraphHTML(profileOf([])));
    expect(frames()).toEqual([]);
    expect(elements.graph.textContent).toBe("This profile has no samples.");
  });

  it("survives stacks of a hundred thousand frames, of which it draws a thousand", () => {
    const deep = profileOf([[Array.from({ length: 100_000 }, (_, i) => `main.f${i % 10}`), [1, 1]]]);
    const html = flameGraphHTML(deep);
    expect(html.length).toBeGreaterThan(1_000_000);
    const { elements, frames } = openPage(html);
    expect(frames()).toHaveLength(1001);
    expect(elements.info.textContent).toMatch(/deeper frames: zoom in/);
    frames()[900].onclick!();
    expect(frames()).toHaveLength(1901);
  });
});

interface FakeElement {
  id: string;
  value: string;
  textContent: string;
  className: string;
  error?: string;
  style: { cssText: string };
  children: FakeElement[];
  title: string;
  onclick?: () => void;
  onchange?: () => void;
  oninput?: () => void;
  onkeydown?: (e: { key: string; preventDefault(): void }) => void;
}

/** Runs the page's script with just enough of a document. */
function openPage(html: string): { elements: Record<string, FakeElement>; frames(): FakeElement[] } {
  const make = (id = ""): FakeElement => {
    const e = {
      id,
      value: "",
      className: "",
      style: { cssText: "" },
      clientWidth: 1000,
      children: [] as FakeElement[],
      text: "",
      get textContent() {
        return e.text;
      },
      set textContent(text: string) {
        e.text = text;
        e.children = [];
      },
      append: (child: FakeElement) => e.children.push(child),
      classList: { add: () => {}, remove: () => {} },
      scrollIntoView: () => {},
      setCustomValidity(message: string) {
        (e as unknown as FakeElement).error = message;
      },
    };
    return e as unknown as FakeElement;
  };
  const elements: Record<string, FakeElement> = {};
  for (const [, id] of html.matchAll(/ id="(\w+)"/g)) elements[id] = make(id);
  elements.data.textContent = /id="data">([^<]*)</.exec(html)![1]!;
  const script = /<script>([\s\S]*)<\/script>/.exec(html)![1];
  runInNewContext(script, {
    document: { getElementById: (id: string) => elements[id], createElement: () => make() },
    window: { addEventListener: () => {} },
    Option: class {},
  });
  return { elements, frames: () => elements.graph.children };
}
