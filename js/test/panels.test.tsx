import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import factory from "../src/index";
import { panels } from "../src/panels";
import { drawn } from "./drawn-page";
import { configured, image, opened, selected, TestModel, view } from "./helpers";

const here = () => ({ test: () => panels });

describe("panels that come on demand", () => {
	let model: TestModel;
	let el: HTMLElement;
	let end: AbortController;

	const text = (): string => el.textContent ?? "";
	const press = async (name: string): Promise<void> => {
		const found = [...el.querySelectorAll("button")].find((b) => b.textContent?.trim() === name);
		if (!found) throw new Error(`no button ${name}`);
		found.click();
		await drawn();
	};
	/** The code of the panels is run by the browser, which takes its time. */
	const shown = (selector: string): Promise<void> =>
		vi.waitFor(() => expect(el.querySelector(selector)).not.toBeNull(), { timeout: 10_000 });
	const add = async (): Promise<void> => {
		model = new TestModel();
		el = document.createElement("div");
		document.body.append(el);
		end = new AbortController();
		const widget = factory();
		widget.initialize({ model, signal: end.signal });
		widget.render({ model, el, signal: end.signal });
		for (const message of [opened(), configured(), selected(-1, 3)]) model.tell(message);
		model.tell(image(3), [view(1)]);
		await drawn();
	};

	beforeEach(async () => {
		globalThis.neuronWidgetPanels = undefined;
		await add();
	});
	afterEach(() => {
		end.abort();
		el.remove();
		globalThis.neuronWidgetPanels = here();
	});

	it("are asked for when one is opened, and drawn when they are there", async () => {
		expect(model.of("panels")).toHaveLength(0);
		await press("Settings");
		expect(text()).toContain("The settings panel is on its way from the kernel.");
		expect(model.of("panels")).toHaveLength(1);
		globalThis.neuronWidgetPanels = here();
		model.tell({ kind: "panels" }, [view(32)]);
		await shown("[aria-label=Settings]");
		expect(text()).not.toContain("on its way");
	});

	it("are asked for once the page is drawn, and not by a second widget", async () => {
		model.tell({ kind: "snapshot", messages: [], counts: [] });
		model.tell({ kind: "snapshot", messages: [], counts: [] });
		await vi.waitFor(() => expect(model.of("panels")).toHaveLength(1), { timeout: 20_000 });
		// Not once more for the second one.
		await new Promise((done) => setTimeout(done, 500));
		expect(model.of("panels")).toHaveLength(1);
		globalThis.neuronWidgetPanels = here();
		end.abort();
		await add();
		model.tell({ kind: "snapshot", messages: [], counts: [] });
		model.tell(opened());
		model.tell(configured());
		await press("Settings");
		expect(model.of("panels")).toHaveLength(0);
		expect(el.querySelector("[aria-label=Settings]")).not.toBeNull();
	});

	it("say why they did not come, and are tried again", async () => {
		await press("Settings");
		globalThis.neuronWidgetPanels = { other: () => panels };
		model.tell({ kind: "panels" }, [view(32)]);
		await shown("[role=alert]");
		expect(el.querySelector("[role=alert]")?.textContent).toContain(
			"The kernel has another version of neuron-widget than this page: run the cell again.",
		);
		await press("Try again");
		expect(model.of("panels")).toHaveLength(2);
		globalThis.neuronWidgetPanels = here();
		model.tell({ kind: "panels" }, [view(32)]);
		await shown("[aria-label=Settings]");
	});
});
