import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BUSY_AFTER_MS, Contact, GONE_AFTER_MS } from "../src/contact";
import { contour } from "../src/contour";
import { count, duration, plural, rate, value } from "../src/format";
import { Lru } from "../src/lru";
import { galleryOrder, moveInGrid, parseFilter, placesInView } from "../src/order";
import { STEP_STOPS, stepsAt, stopOf } from "../src/steps";
import { themeOf } from "../src/theme";
import { mapPixels, VIRIDIS } from "../src/viridis";

describe("numbers and times", () => {
	it.each([
		[3198.4, "3,198"],
		[24.13, "24.1"],
		[1.234, "1.23"],
		[0.0342, "0.034"],
		[0.0000342, "3.4e−5"],
		[-2.5, "−2.50"],
		[0, "0"],
		[Number.NaN, "–"],
	])("value(%d) is %s", (x, text) => expect(value(x)).toBe(text));

	it.each([
		[8.2, "8 s"],
		[80, "1 min 20 s"],
		[120, "2 min"],
		[3900, "1 h 5 min"],
	])("duration(%d) is %s", (s, text) => expect(duration(s).replaceAll("\u00a0", " ")).toBe(text));

	it("counts", () => {
		expect([count(9469), plural(1, "photo"), plural(2, "photo")]).toEqual([
			"9,469",
			"1 photo",
			"2 photos",
		]);
		expect([rate(24.3), rate(3.21)]).toEqual(["24", "3.2"]);
	});
});

describe("steps", () => {
	it("has a stop for every position and back", () => {
		STEP_STOPS.forEach((steps, i) => {
			expect(stopOf(steps)).toBe(i);
			expect(stepsAt(i)).toBe(steps);
		});
	});
	it("puts any number at the nearest stop", () => {
		expect(stepsAt(stopOf(500))).toBe(512);
		expect(stepsAt(stopOf(1))).toBe(16);
		expect(stepsAt(99)).toBe(2048);
	});
});

describe("gallery order", () => {
	const strength = {
		best: [1, 9, 0, 4],
		dead: new Set([2]),
		labels: ["tench", "golden retriever"],
		top: [[0], [0, 1], [], [1]],
	};
	it("goes by number, or by strength with the dead last", () => {
		expect(galleryOrder(4, "index", strength)).toEqual([0, 1, 2, 3]);
		expect(galleryOrder(4, "strength", strength)).toEqual([1, 3, 0, 2]);
		expect(galleryOrder(4, "strength")).toEqual([0, 1, 2, 3]);
		expect(galleryOrder(4, "alive", strength)).toEqual([0, 1, 3, 2]);
	});
	it.each([
		["3", [3]],
		["1-2", [1, 2]],
		["2 – 1", [1, 2]],
		["2-", [2, 3]],
		["0, 2..3", [0, 2, 3]],
		["Golden", [1, 3]],
		["tench, 3", [0, 1, 3]],
		["cat", []],
		["99", []],
	])("the filter %s lets %o through", (text, through) =>
		expect([0, 1, 2, 3].filter(parseFilter(text, strength) ?? (() => true))).toEqual(through),
	);
	it("has no filter for nothing, and none passes by class before a scan", () => {
		expect(parseFilter(" , ", strength)).toBeNull();
		expect([0, 1].filter(parseFilter("tench") ?? (() => true))).toEqual([]);
	});
	it.each([
		["ArrowRight", 5, 6],
		["ArrowLeft", 0, 0],
		["ArrowDown", 5, 9],
		["ArrowDown", 18, 18],
		["ArrowUp", 2, 2],
		["PageDown", 0, 12],
		["PageUp", 15, 3],
		["Home", 7, 0],
		["End", 7, 19],
		["a", 7, -1],
	])("%s moves %d to %d", (key, from, to) => expect(moveInGrid(key, from, 20, 4, 3)).toBe(to));
	it("knows which places are in sight", () => {
		expect(placesInView(0, 120, 60, 4, 20)).toEqual([0, 8]);
		expect(placesInView(90, 120, 60, 4, 20)).toEqual([4, 16]);
		expect(placesInView(600, 120, 60, 4, 20)).toEqual([20, 20]);
	});
});

describe("Lru", () => {
	it("forgets what was used longest ago and hands it over", () => {
		const lost: string[] = [];
		const lru = new Lru<string>(2, (v) => lost.push(v));
		lru.set("a", "A");
		lru.set("b", "B");
		lru.touch("a");
		lru.set("c", "C");
		expect(lost).toEqual(["B"]);
		lru.set("a", "A2");
		lru.clear();
		expect(lost).toEqual(["B", "A", "C", "A2"]);
	});
	it("never forgets what is held", () => {
		const lost: string[] = [];
		const lru = new Lru<string>(
			2,
			(v) => lost.push(v),
			(key) => key === "a",
		);
		for (const key of ["a", "b", "c", "d"]) lru.set(key, key.toUpperCase());
		expect(lost).toEqual(["B", "C"]);
		expect(lru.peek("a")).toBe("A");
	});
});

describe("maps", () => {
	it("runs from viridis purple to yellow", () => {
		const near = (i: number, rgb: number[]) =>
			rgb.forEach((c, j) => {
				expect(Math.abs((VIRIDIS[i * 3 + j] as number) - c)).toBeLessThanOrEqual(4);
			});
		near(0, [68, 1, 84]);
		near(128, [33, 145, 140]);
		near(255, [253, 231, 37]);
	});
	it("lets a weak value look weak in blend, and paints all in only", () => {
		const alpha = (mode: "off" | "blend" | "only") =>
			[3, 7].map((i) => mapPixels(new Uint8Array([10, 250]), mode, 0.5)[i]);
		expect(alpha("off")).toEqual([0, 0]);
		expect(alpha("blend")).toEqual([5, 125]);
		expect(alpha("only")).toEqual([255, 255]);
	});
	it("draws a closed outline around what lies above the threshold", () => {
		expect(contour([0, 0, 0, 0, 9, 0, 0, 0, 0], 3, 3, 4.5).match(/M/g)).toHaveLength(4);
		expect(contour([0, 0, 0, 0], 2, 2, 1)).toBe("");
		expect(contour([9, 9, 9, 9], 2, 2, 1)).toContain("M");
	});
});

describe("Contact", () => {
	beforeEach(() => void vi.useFakeTimers());
	afterEach(() => void vi.useRealTimers());

	it("is busy after 3 s, gone after 30 s, and well again with any message", () => {
		const contact = new Contact();
		contact.asked();
		vi.advanceTimersByTime(BUSY_AFTER_MS - 1);
		expect(contact.state.value).toBe("ok");
		contact.asked();
		vi.advanceTimersByTime(1);
		expect(contact.state.value).toBe("busy");
		vi.advanceTimersByTime(GONE_AFTER_MS - BUSY_AFTER_MS);
		expect(contact.state.value).toBe("gone");
		contact.heard();
		expect(contact.state.value).toBe("ok");
	});
});

describe("theme", () => {
	it.each([
		[{ "data-jp-theme-light": "false" }, "dark"],
		[{ "data-jp-theme-light": "true" }, "light"],
		[{ "data-vscode-theme-kind": "vscode-dark" }, "dark"],
		[{ "data-vscode-theme-kind": "vscode-high-contrast" }, "dark"],
		[{ "data-vscode-theme-kind": "vscode-high-contrast-light" }, "light"],
		[{ theme: "dark" }, "dark"],
		[{ class: "dark" }, "dark"],
	])("%o is %s, also out of a shadow root", (attributes, theme) => {
		const host = document.createElement("div");
		for (const [name, text] of Object.entries(attributes)) host.setAttribute(name, text);
		const inner = document.createElement("div");
		const root = document.createElement("div");
		inner.attachShadow({ mode: "open" }).append(root);
		host.append(inner);
		document.body.append(host);
		expect(themeOf(root)).toBe(theme);
		host.remove();
	});
	it("is the page's where the element is not in the page yet", () => {
		document.body.dataset.jpThemeLight = "false";
		const apart = document.createElement("div");
		const root = document.createElement("div");
		apart.append(root);
		expect(themeOf(root)).toBe("dark");
		delete document.body.dataset.jpThemeLight;
	});
});
