import { describe, expect, it, vi } from "vitest";
import { DrawnPage, drawn } from "./drawn-page";
import {
	channel,
	dataset,
	frame,
	image,
	MADE,
	opened,
	photo,
	photos,
	progress,
	selected,
	strengths,
	unit,
	view,
} from "./helpers";

describe("a unit that Python selected", () => {
	const page = new DrawnPage();

	const open = async (): Promise<void> => {
		page.model.tell(opened());
		page.model.tell(selected(-1, unit(68)));
		page.model.tell(dataset());
		page.model.tell(strengths());
		page.model.tell(...photos(68));
		await drawn();
	};
	const tile = (neuron: number): HTMLElement => page.one(`[data-neuron="${neuron}"]`);

	it("is named, with the tile and the photos of its neuron", async () => {
		await open();
		const panel = page.one(".nw-picture").textContent;
		expect(panel).toContain("mixed4a neuron 68, unit 7,6");
		expect(panel).toContain("row\u00a07, column\u00a06");
		expect(tile(68).getAttribute("aria-selected")).toBe("true");
		expect(page.one(".nw-photos h3").textContent).toContain("of the whole neuron 68");
		expect(page.one(".nw-histogram h3").textContent).toContain("of the whole neuron 68");
		expect(page.all(".nw-photo img")).toHaveLength(4);
		page.all(".nw-photo")[0]?.click();
		await drawn();
		expect(page.model.of("enlarge").at(-1)?.target).toEqual(channel(68));
		expect(page.one("[role=dialog]").textContent).toContain("of mixed4a neuron 68");
		const info = { group: "most", scale: 1, quantile: 1, photo: photo(0) } as const;
		page.model.tell({ kind: "photo", target: channel(68), ...info }, [view(1), view(2), view(3)]);
		await drawn();
		expect(page.all(".nw-crop img")).toHaveLength(1);
	});

	it("is rendered, and shows neither its neuron's image nor its preview", async () => {
		await open();
		const { model } = page;
		model.tell({ kind: "thumbs", layer: "mixed4a", neurons: [68], finished: [true] }, [view(1)]);
		model.tell(image(68), [view(1)]);
		await drawn();
		expect(page.all(".nw-image")).toHaveLength(0);
		await page.click("Render");
		expect(model.of("start")).toEqual([{ kind: "start", target: unit(68), steps: 512 }]);
		model.tell(progress("render", "running", 3, unit(68)));
		model.tell({ ...frame(3, unit(68)), value: 5 }, []);
		await drawn();
		expect(tile(68).getAttribute("aria-label")).toContain("rendering");
		expect(page.one(".nw-progress-render").textContent).not.toContain("neuron");
		model.tell({ ...image(unit(68)), comparable: false }, [view(1)]);
		await drawn();
		expect(page.one(".nw-image").getAttribute("alt")).toBe("mixed4a neuron 68, unit 7,6");
		expect(page.one(".nw-picture").textContent).not.toContain("best photo");
	});

	it("stays when the traits say its neuron, and goes when they say another", async () => {
		await open();
		page.model.change("neuron", 68);
		await drawn();
		expect(page.one(".nw-picture h3").textContent).toContain("unit 7,6");
		page.model.change("neuron", 12);
		await drawn();
		expect(page.one(".nw-picture h3").textContent).toBe("mixed4a neuron 12");
	});

	it.each([
		["the slider", { kind: "channel", layer: "mixed4a", neuron: 69 }],
		["its own tile", channel(68)],
		["the button", channel(68)],
		["the layer", { kind: "channel", layer: "mixed3a", neuron: 68 }],
		["a part of the layer's name", { kind: "channel", layer: "mixed3a", neuron: 68 }],
	])("gives way to a whole neuron: %s", async (way, target) => {
		await open();
		if (way === "the slider") {
			const slider = page.field<HTMLInputElement>("Neuron");
			slider.value = "69";
			slider.dispatchEvent(new Event("change", { bubbles: true }));
		} else if (way === "its own tile") tile(68).click();
		else if (way === "the button") await page.click("Whole neuron 68");
		else {
			const layers = page.field<HTMLInputElement>("Layer");
			layers.value = way === "the layer" ? "mixed3a" : "3a";
			layers.dispatchEvent(new Event("change", { bubbles: true }));
			if (way !== "the layer")
				layers.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
		}
		await drawn();
		expect(page.model.of("select").at(-1)).toMatchObject({ target, settled: true });
		expect(page.one(".nw-picture h3").textContent).toBe(`${target.layer} neuron ${target.neuron}`);
		expect(page.all(".nw-part")).toHaveLength(0);
	});

	it("stays when the steps change", async () => {
		await open();
		const slider = page.field<HTMLInputElement>("Steps");
		slider.value = "3";
		slider.dispatchEvent(new Event("change", { bubbles: true }));
		expect(page.model.of("select").at(-1)).toMatchObject({ target: unit(68), steps: 48 });
	});

	it("is pinned beside its neuron, and found again by its pin", async () => {
		await open();
		page.model.tell(image(unit(68)), [view(1)]);
		page.model.tell({ ...image(68), settings: MADE }, [view(1)]);
		await page.click("Pin");
		await page.click("Whole neuron 68");
		await page.click("Pin");
		expect(page.model.of("pin").at(-1)?.pins).toEqual([unit(68), channel(68)]);
		const cards = page.all(".nw-pin");
		expect(cards.map((card) => card.textContent?.includes("photos of neuron 68"))).toEqual([
			true,
			false,
		]);
		expect(cards.map((card) => card.querySelectorAll(".nw-pin-photos img").length)).toEqual([2, 2]);
		page.one('[title="Show mixed4a neuron 68, unit 7,6"]').click();
		// A choice soon after another one waits its tenth of a second.
		await vi.waitFor(() => expect(page.model.of("select").at(-1)?.target).toEqual(unit(68)), {
			timeout: 10_000,
		});
		// What is pinned is not forgotten, however many others come; its neuron's photos neither.
		await page.click("Unpin mixed4a neuron 68");
		for (let n = 100; n < 170; n++) {
			page.model.tell(image(n), [view(1)]);
			page.model.tell(...photos(n, 1));
		}
		await drawn();
		expect(page.one(".nw-pin").querySelectorAll("img.nw-image, .nw-pin-photos img")).toHaveLength(
			3,
		);
	});
});
