import { describe, expect, it } from "vitest";
import { liveUrls } from "../src/urls";
import { DrawnPage, drawn } from "./drawn-page";
import { configured, image, opened, selected, view } from "./helpers";

describe("the transparency of MACO images", () => {
	const page = new DrawnPage();
	const faded = (): number => page.all(".nw-faded").length;
	const open = async (param: string, buffers: DataView<ArrayBuffer>[]): Promise<void> => {
		page.model.tell(opened());
		page.model.tell(selected(-1, 3));
		page.model.tell(configured({ param }));
		page.model.tell({ ...image(3), settings: { ...image(3).settings, param } }, buffers);
		await drawn();
		await page.click("Settings");
	};
	const toggle = async (): Promise<void> => {
		page.field<HTMLInputElement>("Transparency").click();
		await drawn();
	};

	it("is shown at once, where the person wants it", async () => {
		await open("maco", [view(1), view(2)]);
		expect(faded()).toBe(0);
		await toggle();
		expect(faded()).toBe(1);
		expect(page.model.of("configure")).toHaveLength(0);
		await toggle();
		expect(faded()).toBe(0);
		const urls = liveUrls();
		page.model.tell(configured({ param: "maco", seed: 5 }));
		await drawn();
		expect(liveUrls()).toBe(urls - 2);
	});

	it("is not there of an image that came from the store", async () => {
		await open("maco", [view(1)]);
		await toggle();
		expect(faded()).toBe(0);
	});

	it("is not offered for other forms", async () => {
		await open("fourier", [view(1)]);
		expect(page.el.textContent).not.toContain("Transparency");
	});
});
