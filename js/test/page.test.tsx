import { afterEach, beforeEach, describe, expect, it } from "vitest";
import factory from "../src/index";
import { dataset, image, opened, photos, progress, selected, TestModel, view } from "./helpers";

const drawn = (): Promise<void> => new Promise((done) => setTimeout(done, 30));

describe("the page", () => {
	let model: TestModel;
	let el: HTMLElement;
	let end: AbortController;

	const all = (selector: string): HTMLElement[] => [...el.querySelectorAll<HTMLElement>(selector)];
	const one = (selector: string): HTMLElement => {
		const [first, ...more] = all(selector);
		if (!first || more.length) throw new Error(`${1 + more.length} x ${selector}`);
		return first;
	};
	const button = (name: string): HTMLElement => {
		const found = all("button").find(
			(b) => b.getAttribute("aria-label") === name || b.textContent?.trim() === name,
		);
		if (!found) throw new Error(`no button ${name}`);
		return found;
	};
	const press = (target: Element, key: string): void => {
		target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
	};

	beforeEach(async () => {
		model = new TestModel();
		el = document.createElement("div");
		document.body.append(el);
		end = new AbortController();
		const widget = factory();
		widget.initialize({ model, signal: end.signal });
		widget.render({ model, el, signal: end.signal });
		await drawn();
	});
	afterEach(() => {
		end.abort();
		el.remove();
	});

	const open = async (): Promise<void> => {
		model.tell(opened());
		model.tell(selected(-1, 3));
		model.tell(dataset());
		await drawn();
	};

	it("says ready, waits without being blank, and says so when it goes", async () => {
		expect(model.of("ready")).toHaveLength(1);
		expect(el.textContent).toContain("Waiting for the kernel");
		end.abort();
		expect(model.of("visible").at(-1)).toMatchObject({ gone: true });
		expect(el.childElementCount).toBe(0);
	});

	it("keeps notebook shortcuts away and knows its theme", () => {
		const root = one(".neuron-widget");
		expect(root.getAttribute("data-lm-suppress-shortcuts")).toBe("true");
		expect(["light", "dark"]).toContain(root.dataset.theme);
	});

	it("has the names that people and tests rely on", async () => {
		await open();
		const labelOf = (input: Element): string =>
			el.querySelector(`label[for="${input.id}"]`)?.textContent ??
			input.getAttribute("aria-label") ??
			"";
		const names = all("input, select").map(labelOf);
		for (const name of ["Layer", "Neuron", "Steps", "Neuron number", "Steps number"])
			expect(names).toContain(name);
		for (const name of ["Render", "Stop"]) expect(button(name)).toBeTruthy();
		expect(one("[role=listbox]").getAttribute("aria-label")).toBe("Neurons");
		expect(all("[role=option]")).toHaveLength(508);
		expect(one('[data-neuron="68"]').getAttribute("aria-label")).toBe(
			"mixed4a neuron 68, no preview yet",
		);
		model.tell(progress("render", "running", 3));
		model.tell(progress("scan", "running", 3));
		model.tell(image(3), [view(1)]);
		model.tell(...photos(3));
		await drawn();
		const bars = all("progress").map((p) => p.getAttribute("aria-label"));
		expect(bars).toEqual(expect.arrayContaining(["Rendering", "Scanning"]));
		expect(one(".nw-image").getAttribute("alt")).toBe("mixed4a neuron 3");
		expect(all("[role=group]").map((g) => g.getAttribute("aria-label"))).toEqual([
			"Most activating",
			"Least activating",
		]);
	});

	it("moves through the gallery by keyboard with one tab stop", async () => {
		await open();
		const list = one("[role=listbox]");
		expect(one('[role=option][tabindex="0"]').dataset.neuron).toBe("3");
		press(list, "ArrowRight");
		await drawn();
		expect(one('[role=option][aria-selected="true"]').dataset.neuron).toBe("4");
		press(list, "End");
		await drawn();
		expect(one('[role=option][tabindex="0"]').dataset.neuron).toBe("507");
		await new Promise((done) => setTimeout(done, 150));
		expect(model.of("select").at(-1)).toMatchObject({ neuron: 507, settled: true });
	});

	it("opens a photo large, moves on, closes on Escape and gives the focus back", async () => {
		await open();
		model.tell(...photos(3));
		await drawn();
		const tile = all(".nw-photo")[0] as HTMLElement;
		tile.focus();
		tile.click();
		await drawn();
		expect(model.of("enlarge").at(-1)).toMatchObject({ group: "most", rank: 0, neuron: 3 });
		press(one("[role=dialog]"), "ArrowRight");
		press(one("[role=dialog]"), "ArrowRight");
		await drawn();
		expect(one("[role=dialog]").getAttribute("aria-label")).toBe("Most activating 2");
		expect(one("[role=dialog]").textContent).toContain("a/<b>1</b>.jpg");
		press(one("[role=dialog]"), "Escape");
		await drawn();
		expect(all("[role=dialog]")).toHaveLength(0);
		expect(document.activeElement).toBe(tile);
	});

	it("shows an error with its way out", async () => {
		model.tell({
			kind: "error",
			where: "network",
			title: "No weights",
			message: "not here <script>",
			traceback: "line 1",
			action: "embedded",
			dataset: "",
		});
		await drawn();
		expect(one("[role=alert]").textContent).toContain("not here <script>");
		button("Open the embedded network").click();
		await drawn();
		expect(model.of("open_embedded")).toHaveLength(1);
		expect(all("[role=alert]")).toHaveLength(0);
	});

	it("names three ways to give photos, and scans what is typed", async () => {
		model.tell(opened());
		model.tell({ kind: "dataset", dataset: null });
		await drawn();
		expect(all(".nw-dataset-ways li")).toHaveLength(3);
		const input = one(".nw-path") as HTMLInputElement;
		input.value = " /photos ";
		input.dispatchEvent(new Event("input", { bubbles: true }));
		await drawn();
		one("form").dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
		expect(model.of("scan").at(-1)).toMatchObject({ dataset: "/photos", download: false });
	});

	it("says that a neuron is dead", async () => {
		await open();
		model.tell({ kind: "strengths", layer: "mixed4a", best: [1, 2, 3, 0], dead: [3] });
		await drawn();
		expect(one('[data-neuron="3"]').getAttribute("aria-label")).toContain("dead");
		expect(el.textContent).toContain("Dead on these photos");
	});
});
