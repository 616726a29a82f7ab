import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromState } from "../src/page/from-state";
import "../src/page/saved";
import factory from "../src/index";
import { drawn } from "./drawn-page";
import { channel, image, opened, selected, strengths, TestModel } from "./helpers";

// One transparent pixel.
const PIXEL = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

const state = {
	layer: "mixed4a",
	neuron: 3,
	steps: 512,
	_saved: {
		code: "",
		parts: ["_saved_3", "_saved_9", "_saved_tiles_0"],
		selected: selected(-1, 3),
		messages: [opened(), strengths()],
		holds: [3, 9],
		line: { first: "NeuronWidget()", other: "NeuronWidget(neuron=NEURON)", note: "" },
	},
	_saved_3: { neuron: {}, photos: { 5: { label: "tench", path: "5.png", data: PIXEL } } },
	_saved_9: { neuron: { image: { ...image(9), data: PIXEL } }, photos: {} },
	_saved_tiles_0: { neurons: [3, 9], finished: [true, false], data: [PIXEL, PIXEL] },
};

describe("the state in a notebook file", () => {
	it("is put together to what a saved page holds", () => {
		const saved = fromState((name) => state[name as keyof typeof state]);
		expect(Object.keys(saved.neurons)).toEqual(["3", "9"]);
		expect(saved.photos).toEqual(state._saved_3.photos);
		expect(saved.thumbs).toMatchObject({ layer: "mixed4a", neurons: [3, 9] });
		expect(saved.holds).toBe("3, 9");
	});

	it("may lack a part", () => {
		const saved = fromState((name) => ({ ...state, _saved_9: null })[name as keyof typeof state]);
		expect(Object.keys(saved.neurons)).toEqual(["3"]);
	});
});

describe("a widget out of a notebook file", () => {
	let model: TestModel;
	let el: HTMLElement;
	let end: AbortController;

	beforeEach(async () => {
		model = new TestModel(state);
		el = document.createElement("div");
		document.body.append(el);
		end = new AbortController();
		const widget = factory();
		await widget.initialize({ model, signal: end.signal });
		widget.render({ model, el, signal: end.signal });
		await drawn();
	});
	afterEach(() => {
		end.abort();
		el.remove();
	});
	const root = (): HTMLElement => el.querySelector(".neuron-widget") as HTMLElement;

	it("shows what is in the file, and asks the kernel for nothing but whether it is there", () => {
		expect(root().dataset.saved).toBe("");
		expect(root().textContent).toContain("InceptionV1");
		expect(model.sent).toEqual([{ kind: "poll", more: false }]);
	});

	it("is live as soon as a kernel answers", async () => {
		model.tell({ kind: "polled" });
		await drawn();
		expect(el.querySelectorAll(".neuron-widget")).toHaveLength(1);
		expect(root().dataset.saved).toBeUndefined();
		expect(model.of("ready")).toHaveLength(1);
		model.tell(opened());
		model.tell(selected(-1, channel(3)));
		await drawn();
		expect(root().textContent).toContain("InceptionV1");
	});
});
