import { describe, expect, it } from "vitest";
import type * as P from "../src/protocol";
import { liveUrls } from "../src/urls";
import { DrawnPage, drawn } from "./drawn-page";
import {
	channel,
	configured,
	dataset,
	image,
	opened,
	photos,
	progress,
	selected,
	view,
} from "./helpers";

const strip = (change: Partial<P.Strip> = {}): P.Strip => ({
	kind: "strip",
	task: "facets",
	of: [channel(3)],
	step: 512,
	steps: 512,
	activation: [[3000, 1279.2]],
	shares: [[0.938, 0.4]],
	at: [512, 512],
	expression: "apart(mixed4a:3, mixed4a)",
	...change,
});
const two = (): DataView<ArrayBuffer>[] => [view(1), view(2)];

describe("facets", () => {
	const page = new DrawnPage();
	const tell = async (message: P.ToPage, buffers: DataView<ArrayBuffer>[] = []): Promise<void> => {
		page.model.tell(message, buffers);
		await drawn();
	};
	const open = async (facets = 2): Promise<void> => {
		page.model.tell(opened());
		page.model.tell(selected(-1, 3));
		await tell(configured({ facets }));
	};
	const text = (): string => page.one("[aria-label=Facets]").textContent ?? "";

	it("are not there where one image is enough", async () => {
		await open(1);
		expect(page.all("[aria-label=Facets]")).toHaveLength(0);
	});

	it("wait for the image, form, and say what they keep", async () => {
		await open();
		expect(text()).toContain("2 images of neuron 3 that are to differ");
		expect(text()).toContain("They come when the image above is finished.");
		await tell(image(3), [view(1)]);
		await page.click("Render the facets");
		expect(page.model.of("resume")).toEqual([{ kind: "resume", task: "facets" }]);
		await tell({ ...progress("facets", "running", 8), target: channel(3) });
		await tell(strip({ index: 4, ack: true, activation: [], shares: [] }), two());
		expect(page.model.of("ack")).toEqual([{ kind: "ack", index: 4 }]);
		expect(page.all("[aria-label=Facets] img").map((img) => img.getAttribute("alt"))).toEqual([
			"Facet 1 of neuron 3",
			"Facet 2 of neuron 3",
		]);
		await page.click("Stop facets");
		expect(page.model.of("stop")).toEqual([{ kind: "stop", task: "facets" }]);
		await tell({ ...progress("facets", "done", 512), target: channel(3) });
		await tell(strip(), two());
		expect(text()).toContain("3,000 · 94 %");
		expect(text()).toContain("1,279 · 40 %");
		expect(page.all("[aria-label=Facets] progress")).toHaveLength(0);
	});

	it("of another neuron, another number or other settings are not shown", async () => {
		await open();
		await tell(strip(), two());
		const shown = (): number => page.all("[aria-label=Facets] img").length;
		expect(shown()).toBe(2);
		await tell(selected(-1, 4));
		expect(shown()).toBe(0);
		await tell(selected(-1, 3));
		expect(shown()).toBe(2);
		await tell(configured({ facets: 3 }));
		expect(shown()).toBe(0);
		const urls = liveUrls();
		await tell(configured({ facets: 2, seed: 5 }));
		expect(shown()).toBe(0);
		expect(liveUrls()).toBe(urls - 2);
	});

	it("of an image that fires nothing are not to be had", async () => {
		await open();
		await tell({ ...image(3), activation: 0 }, [view(1)]);
		expect(text()).toContain("The image does not fire this neuron");
	});
});

describe("what lies between two pins", () => {
	const page = new DrawnPage();
	const way = (): HTMLElement => page.one(".nw-between");

	it("is asked for, and walked through by a slider", async () => {
		const { model } = page;
		model.tell(opened());
		model.tell(selected(-1, 3));
		model.tell(image(3), [view(1)]);
		model.tell({ kind: "pins", pins: [channel(3)] });
		await drawn();
		expect(page.all(".nw-between")).toHaveLength(0);
		model.tell({ kind: "pins", pins: [channel(3), channel(9)] });
		await drawn();
		await page.click("Render the way");
		expect(model.of("between")).toHaveLength(0); // the other one has no image
		model.tell(image(9), [view(1)]);
		await drawn();
		await page.click("Render the way");
		expect(model.of("between")).toEqual([{ kind: "between", first: channel(3), last: channel(9) }]);
		model.tell(
			strip({
				task: "between",
				of: [channel(3), channel(9)],
				activation: [
					[3000, 10],
					[9, 2000],
				],
				shares: [
					[0.9, 0.01],
					[0.02, 0.8],
				],
			}),
			two(),
		);
		await drawn();
		expect(way().textContent).toContain("90 % of mixed4a neuron 3 · 2 % of mixed4a neuron 9");
		const slider = page.field<HTMLInputElement>("Image 1 of 2");
		slider.value = "1";
		slider.dispatchEvent(new Event("input", { bubbles: true }));
		await drawn();
		expect(way().textContent).toContain("1 % of mixed4a neuron 3 · 80 % of mixed4a neuron 9");
	});
});

describe("from a photo", () => {
	const page = new DrawnPage();
	const of = (number: number): P.PhotoName => ({ of: "dataset", number });
	const tell = async (message: P.ToPage, buffers: DataView<ArrayBuffer>[] = []): Promise<void> => {
		page.model.tell(message, buffers);
		await drawn();
	};
	const from = (change: Partial<P.Strip> = {}): P.Strip =>
		strip({
			task: "accentuation",
			of: [channel(3)],
			step: 64,
			steps: 64,
			activation: [[10, 40]],
			shares: [[]],
			at: [0, 64],
			expression: "mixed4a:3 - 50*distance(mixed3a)",
			photo: of(0),
			...change,
		});
	const shown = (): string | null => page.one(".nw-large-box img").getAttribute("src");
	const rows = (): number => page.all("[role=dialog] progress").length;
	const open = async (): Promise<void> => {
		for (const message of [opened(), dataset(), configured(), selected(-1, 3)])
			page.model.tell(message);
		page.model.tell(...photos(3));
		await drawn();
		page.all<HTMLButtonElement>("button.nw-photo")[0]?.click();
		await drawn();
	};

	it("a picture forms in the photo's place, and a slider leads back to it", async () => {
		await open();
		const photo = shown();
		expect(page.one("[role=dialog]").textContent).toContain("need to fire neuron 3 more");
		await page.click("From this photo");
		expect(page.model.of("accentuate")).toEqual([
			{ kind: "accentuate", target: channel(3), photo: of(0) },
		]);
		await tell({ ...progress("accentuation", "running", 8), target: channel(3) });
		await tell(from({ index: 4, activation: [], shares: [], at: [] }), [view(7)]);
		expect(shown()).not.toBe(photo);
		expect(page.all("[role=dialog] .nw-marks")).toHaveLength(0);
		await page.click("Stop from the photo");
		expect(page.model.of("stop")).toEqual([{ kind: "stop", task: "accentuation" }]);
		await tell({ ...progress("accentuation", "done", 64), target: channel(3) });
		await tell(from(), two());
		expect(rows()).toBe(0);
		const said = (): string => page.one(".nw-accentuation").textContent ?? "";
		expect(said()).toContain("After 64 of 64 steps: activation 40.0 · 4.00× the photo’s");
		expect(said()).toContain("It maximises mixed4a:3 - 50*distance(mixed3a)");
		const slider = page.one<HTMLInputElement>(".nw-blend input");
		slider.value = "0";
		slider.dispatchEvent(new Event("input", { bubbles: true }));
		await drawn();
		expect(shown()).toBe(photo);
		expect(page.all("[role=dialog] .nw-marks")).toHaveLength(1);
		expect(said()).toContain("The photo: activation 10.0");
	});

	it.each<[string, () => Promise<void>]>([
		["another photo", () => tell(from({ photo: of(1) }), two())],
		[
			"the photo that was brought",
			() => tell(from({ photo: { of: "brought", number: 0 } }), two()),
		],
		["another neuron", () => tell(from({ of: [channel(4)] }), two())],
		[
			"another data set",
			async () => {
				await tell(from(), two());
				await tell(dataset("others"));
				page.model.tell(...photos(3));
				await drawn();
				page.all<HTMLButtonElement>("button.nw-photo")[0]?.click();
				await drawn();
			},
		],
	])("is not shown where it is of %s", async (_, make) => {
		await open();
		await make();
		expect(page.all("[role=dialog] input[type=range][id$=accentuation]")).toHaveLength(0);
		expect(page.all(".nw-accentuation button")).toHaveLength(1);
	});
});
