import { options } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import factory from "../src/index";
import type * as P from "../src/protocol";
import {
	channel,
	configured,
	dataset,
	image,
	MADE,
	opened,
	photos,
	progress,
	selected,
	strengths,
	TestModel,
	view,
} from "./helpers";

// Effects run in the next turn rather than after a frame, so that no test depends on the clock.
options.requestAnimationFrame = (callback) => void setTimeout(callback);

/** What was told is drawn, and its effects are drawn too. */
async function drawn(): Promise<void> {
	for (let turn = 0; turn < 8; turn++) await new Promise((done) => setTimeout(done));
}

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
			(b) => (b.getAttribute("aria-label") ?? b.textContent?.trim()) === name,
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
		expect(model.of("select").at(-1)).toMatchObject({ target: channel(507), settled: true });
	});

	it("opens a photo large, moves on, closes on Escape and gives the focus back", async () => {
		await open();
		model.tell(...photos(3));
		await drawn();
		const tile = all(".nw-photo")[0] as HTMLElement;
		tile.focus();
		tile.click();
		await drawn();
		expect(model.of("enlarge").at(-1)).toMatchObject({
			group: "most",
			rank: 0,
			target: channel(3),
		});
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

	it("says a question aloud only as long as it waits for its answer", async () => {
		model.tell(opened());
		const said = (): string => one(".nw-unseen[role=status]").textContent ?? "";
		const question = {
			kind: "error",
			where: "scan",
			title: "Download imagenette?",
			message: "0.3 GB",
			traceback: "",
			action: "download",
			dataset: "imagenette",
		} as const;
		model.tell(question);
		await drawn();
		expect(one("[role=group][aria-labelledby$=error-scan]").textContent).toContain("0.3 GB");
		await vi.waitFor(() => expect(said()).toBe(question.title), { timeout: 5_000 });
		button("Not now").click();
		await drawn();
		expect(all(".nw-asks")).toHaveLength(0);
		expect(model.of("dismiss")).toHaveLength(1);
		await vi.waitFor(() => expect(said()).toBe(""), { timeout: 5_000 });
	}, 15_000);

	const type = (input: HTMLElement, text: string): void => {
		(input as HTMLInputElement).value = text;
		input.dispatchEvent(new Event("input", { bubbles: true }));
	};
	const labelled = (text: string): HTMLElement => {
		const label = all("label").find((l) => l.textContent?.trim() === text);
		return el.querySelector(`[id="${label?.getAttribute("for")}"]`) as HTMLElement;
	};

	it("goes on from the present image, and first to where it was stopped", async () => {
		await open();
		const more = (): HTMLElement => one(".nw-buttons > button:nth-of-type(3)");
		more().click();
		expect(model.of("more")).toHaveLength(0);
		model.tell(image(3, 200), [view(1)]);
		await drawn();
		expect(more().textContent).toBe("Resumeto 512");
		model.tell(selected(-1, 3, 768));
		await drawn();
		expect(more().textContent).toContain("to 768");
		model.tell(image(3), [view(1)]);
		await drawn();
		expect(more().textContent).toBe("More stepsto 1,024");
		more().click();
		expect(model.of("more")).toEqual([{ kind: "more", target: channel(3), steps: 1024 }]);
		model.tell(progress("render", "running", 600));
		await drawn();
		expect(more().getAttribute("aria-disabled")).toBe("true");
	});

	it("resumes what was stopped before its first step", async () => {
		await open();
		const more = (): HTMLElement => one(".nw-buttons > button:nth-of-type(3)");
		model.tell(progress("render", "stopped", 0));
		await drawn();
		expect(one(".nw-render-state").textContent).toContain("stopped");
		expect(more().textContent).toBe("Resumeto 512");
		more().click();
		expect(model.of("more")).toEqual([{ kind: "more", target: channel(3), steps: 512 }]);
		model.tell(selected(-1, 4, 512));
		await drawn();
		expect(more().getAttribute("aria-disabled")).toBe("true");
		expect(one(".nw-render-state").textContent).not.toContain("stopped");
	});

	it("says of a photo that the neuron does not fire in it, and marks no peak there", async () => {
		await open();
		const [info, buffers] = photos(3);
		model.tell({ ...info, most: info.most.map((p) => ({ ...p, peak: 0, label: "" })) }, buffers);
		await drawn();
		const [most, , least] = all("button.nw-photo");
		most?.click();
		await drawn();
		expect(one("[role=dialog]").textContent).toContain("fires nowhere in this photo");
		expect(one("[role=dialog]").textContent).not.toContain("Class");
		expect(all(".nw-mark-peak, .nw-mark-field, .nw-crop")).toHaveLength(0);
		// Escape closes it although the focus is elsewhere.
		press(document.body, "Escape");
		await drawn();
		expect(all("[role=dialog]")).toHaveLength(0);
		least?.click();
		await drawn();
		expect(all(".nw-mark-peak, .nw-mark-field, .nw-crop")).toHaveLength(3);
	});

	it("offers nothing that needs the kernel when that is gone", async () => {
		await open();
		model.tell(image(3), [view(1)]);
		model.tell(progress("render", "running", 10));
		model.event("comm_live_update");
		await drawn();
		for (const name of ["Render", "Stop", "More steps"]) {
			expect(button(name).getAttribute("aria-disabled")).toBe("true");
			button(name).click();
		}
		expect(model.sent.filter((m) => ["start", "stop", "more"].includes(m.kind))).toEqual([]);
	});

	it("ends only the rendering with the Stop beside Render", async () => {
		await open();
		model.tell(progress("scan", "running", 3));
		model.tell(progress("preview", "running", 3));
		await drawn();
		expect(button("Stop").getAttribute("aria-disabled")).toBe("true");
		button("Stop").click();
		expect(model.of("stop")).toEqual([]);
		model.tell(progress("render", "running", 3));
		await drawn();
		button("Stop").click();
		expect(model.of("stop")).toEqual([{ kind: "stop", task: "render" }]);
	});

	it.each([
		["scan", "scanning"],
		["preview", "previews"],
	] as const)("stops and resumes a task in its own row: %s", async (task, name) => {
		await open();
		const row = (): HTMLElement => one(`.nw-progress-${task}`);
		const mine = (): HTMLElement => row().querySelector("button") as HTMLElement;
		model.tell(progress(task, "running", 100));
		await drawn();
		expect(mine().textContent).toBe("Stop");
		mine().focus();
		button(`Stop ${name}`).click();
		await drawn();
		expect(mine().textContent).toBe("Stop requested");
		mine().click();
		expect(model.of("stop")).toEqual([{ kind: "stop", task }]);

		model.tell(progress(task, "stopped", 120));
		await drawn();
		expect(row().textContent).toContain("120/512 · stopped");
		expect(document.activeElement).toBe(mine());
		button(`Resume ${name}`).click();
		await drawn();
		expect(mine().textContent).toBe("Resume requested");
		mine().click();
		expect(model.of("resume")).toEqual([{ kind: "resume", task }]);

		model.tell(progress(task, "running", 130));
		await drawn();
		expect(mine().textContent).toBe("Stop");
		// Of another layer, it is not what is on screen.
		model.tell({ ...progress(task, "stopped", 130), layer: "mixed3a" });
		await drawn();
		expect(all(`.nw-progress-${task}`)).toHaveLength(0);
	});

	it("offers no way on to previews that are switched off, and says why tiles stay empty", async () => {
		await open();
		model.tell(configured());
		model.tell(progress("preview", "stopped", 3));
		await drawn();
		expect(all(".nw-progress-preview")).toHaveLength(1);
		model.tell(configured({ previews: false }));
		await drawn();
		expect(all(".nw-progress-preview")).toHaveLength(0);
		expect(one(".nw-gallery").textContent).toContain("Previews are off");
	});

	it.each([
		["not begun", [], "Not scanned", "Scan the photos", { kind: "scan", dataset: "" }],
		[
			"stopped while the data set was being opened",
			[progress("scan", "stopped", 0)],
			"stopped before the first photo",
			"Resume the scan",
			{ kind: "resume", task: "scan" },
		],
		[
			"not begun, of a data set that is known",
			[dataset()],
			"not scanned",
			"Scan 10 photos",
			{ kind: "scan", dataset: "" },
		],
		[
			"stopped before the first photo",
			[dataset(), progress("scan", "stopped", 0)],
			"not scanned",
			"Resume the scan",
			{ kind: "resume", task: "scan" },
		],
		[
			"stopped half-way",
			[
				dataset(),
				strengths(),
				{ ...photos(2)[0], scanned: 4, most: [], least: [] },
				selected(-1, 2),
				progress("scan", "stopped", 4),
			],
			"4 of 10 photos scanned",
			"Resume the scan",
			{ kind: "resume", task: "scan" },
		],
	] as const)("has a way on from a scan that was %s", async (_, told, says, way, asked) => {
		model.tell(opened());
		model.tell(selected(-1, 2));
		for (const message of told) model.tell(message as P.ToPage);
		await drawn();
		const panel = one(".nw-photos").textContent;
		expect(panel).toContain(says);
		expect(el.textContent).not.toMatch(/waiting/i);
		button(way).click();
		await drawn();
		expect(model.sent.at(-1)).toMatchObject(asked);
		expect(one(".nw-photos").textContent).not.toContain(way);
		expect(one(".nw-photos").textContent).toMatch(
			/Scanning|when the scan is done|4 photos scanned/,
		);
	});

	it("says of photos from a scan that goes on that they are those so far", async () => {
		const soFar = (neuron: number, scanned: number, dead = false): void => {
			const [info, buffers] = photos(neuron);
			model.tell({ ...info, scanned, dead }, buffers);
		};
		const head = (): string => one(".nw-photos-head").textContent ?? "";
		await open();
		model.tell({ kind: "pins", pins: [channel(2)] });
		model.tell(progress("scan", "running", 4));
		soFar(3, 4, true);
		soFar(2, 4);
		soFar(1, 4);
		await drawn();
		expect(head()).toContain("4 photos scanned so far, of 10");
		expect(one(".nw-photos").textContent).toContain("Silent so far.");
		expect(one(".nw-photos").textContent).not.toContain("Dead");
		expect(one(".nw-pin").textContent).toContain("photos so far");
		soFar(3, 6);
		await drawn();
		expect(head()).toContain("6 photos scanned so far, of 10");
		expect(all(".nw-photos .nw-photo img")).toHaveLength(4);
		// Nothing is marked in the gallery, nor compared with, before the end.
		model.tell(image(3), [view(1)]);
		await drawn();
		expect(one('[data-neuron="3"]').getAttribute("aria-label")).not.toContain("dead");
		expect(one(".nw-picture").textContent).not.toContain("the best photo");
		expect(all("button").map((b) => b.textContent)).not.toContain("Scan all 10 photos");
		model.tell(strengths({ best: [1, 2, 3, 1599], dead: [] }));
		model.tell(progress("scan", "done", 10));
		await drawn();
		// Until the last ones are there it offers no scan of what has been scanned.
		expect(head()).toContain("6 photos scanned so far, of 10");
		expect(all("button").map((b) => b.textContent)).not.toContain("Scan all 10 photos");
		model.tell(...photos(3));
		await drawn();
		expect(head()).toContain("10 photos scanned");
		expect(head()).not.toContain("so far");
		expect(one(".nw-picture").textContent).toContain("2.00× the best photo");
		// What was found so far of a neuron that is not in sight is not taken for the whole.
		model.tell(selected(-1, 1));
		await drawn();
		expect(all(".nw-photos .nw-photo img")).toHaveLength(0);
		expect(el.textContent).not.toContain("photos scanned");
		expect(all(".nw-pin-photos img")).toHaveLength(2);
	});

	it("follows a photo that is open large while a scan finds better ones", async () => {
		const tell = (ranks: number[]): void => {
			const [info, buffers] = photos(3, ranks.length);
			const most = ranks.map((index, rank) => ({ ...info.most[rank], index, rank }) as P.Photo);
			model.tell({ ...info, most }, buffers);
		};
		const large = (index: number, rank: number): void =>
			model.tell(
				{
					kind: "photo",
					target: channel(3),
					group: "most",
					scale: 1,
					quantile: 1,
					photo: { ...(photos(3)[0].most[0] as P.Photo), index, rank },
				},
				[view(1), view(2), view(3)],
			);
		const crops = (): number => all(".nw-crop img").length;
		await open();
		tell([20, 21]);
		await drawn();
		all(".nw-photo")[0]?.click();
		await drawn();
		expect(model.of("enlarge")).toHaveLength(1);
		large(20, 0);
		await drawn();
		expect(crops()).toBe(1);
		tell([30, 20]);
		await drawn();
		expect(one("[role=dialog]").getAttribute("aria-label")).toBe("Most activating 2");
		expect(model.of("enlarge").at(-1)?.rank).toBe(1);
		// The large picture at this place was of another photo.
		expect(crops()).toBe(0);
		large(20, 1);
		await drawn();
		expect(crops()).toBe(1);
		expect(model.of("enlarge")).toHaveLength(2);
		// It is none of the best any more: what has its place is shown, and asked for.
		tell([30, 31]);
		await drawn();
		expect(one("[role=dialog]").getAttribute("aria-label")).toBe("Most activating 2");
		expect(crops()).toBe(0);
		expect(model.of("enlarge")).toHaveLength(3);
	});

	it("filters the gallery by range and by class, and says why it is empty", async () => {
		await open();
		model.tell(strengths());
		await drawn();
		const neurons = (): (string | undefined)[] => all("[role=option]").map((o) => o.dataset.neuron);
		type(labelled("Filter"), "1-2");
		await drawn();
		expect(neurons()).toEqual(["1", "2"]);
		expect(el.textContent).toContain("2 of 508");
		// The selected neuron 3 is hidden: the list has a tab stop all the same.
		expect(one('[role=option][tabindex="0"]').dataset.neuron).toBe("1");
		type(labelled("Filter"), "retriever");
		await drawn();
		expect(neurons()).toEqual(["1", "2"]);
		type(labelled("Filter"), "900");
		await drawn();
		expect(el.textContent).toContain("numbered 0 to 507");
		type(labelled("Filter"), "nothing such");
		await drawn();
		expect(neurons()).toEqual([]);
		button("Show all").click();
		await drawn();
		expect(neurons()).toHaveLength(508);
	});

	it("sends settings when they are applied, and forgets what was made otherwise", async () => {
		await open();
		model.tell(configured());
		model.tell(image(3), [view(1)]);
		await drawn();
		expect(all(".nw-big")).toHaveLength(1);
		button("Settings").click();
		await drawn();
		type(labelled("Seed"), "7");
		await drawn();
		expect(model.of("configure")).toHaveLength(0);
		one("form[aria-label=Settings]").dispatchEvent(
			new Event("submit", { bubbles: true, cancelable: true }),
		);
		expect(model.of("configure")).toEqual([
			{
				kind: "configure",
				settings: {
					...{ ...MADE, param: "fourier", movements: "auto", redirect_relu: "auto", seed: 7 },
					...{ facets: 1, previews: true },
				},
			},
		]);
		model.tell(configured({ seed: 7 }));
		await drawn();
		expect(all(".nw-big")).toHaveLength(0);
		// A picture that was under way with the old seed is not taken for one with the new.
		model.tell(image(3), [view(1)]);
		await drawn();
		expect(all(".nw-big")).toHaveLength(0);
		model.tell({ ...image(3), settings: { ...MADE, seed: 7 } }, [view(1)]);
		await drawn();
		expect(all(".nw-big")).toHaveLength(1);
	});

	it("pins up to four neurons and shows them side by side", async () => {
		await open();
		model.tell(image(3), [view(1)]);
		model.tell(...photos(3, 4));
		await drawn();
		for (const neuron of [3, 4, 5, 6, 7]) {
			model.tell(selected(-1, neuron));
			await drawn();
			button("Pin").click();
			await drawn();
		}
		expect(model.of("pin").at(-1)?.pins).toEqual([3, 4, 5, 6].map(channel));
		expect(all(".nw-pin")).toHaveLength(4);
		expect(all(".nw-pin .nw-badge")).toHaveLength(0);
		model.tell(image(3, 1), [view(1)]);
		await drawn();
		expect(one(".nw-pin .nw-badge").textContent).toBe("step 1 of 512");
		expect(all(".nw-pin")[0]?.querySelectorAll(".nw-pin-photos img")).toHaveLength(3);
		expect(el.querySelectorAll('[alt="Pinned mixed4a neuron 3"]')).toHaveLength(1);
		button("Unpin mixed4a neuron 4").click();
		await drawn();
		expect(model.of("pin").at(-1)?.pins).toEqual([3, 5, 6].map(channel));
		model.tell({ kind: "pins", pins: [] });
		await drawn();
		expect(all(".nw-pin")).toHaveLength(0);
	});

	it("shows the line of Python, selects it where the clipboard is denied", async () => {
		await open();
		button("Save and share").click();
		await drawn();
		const asker = model.of("line").at(-1)?.asker as string;
		model.tell({ kind: "line", asker: "another page", line: "no", note: "" });
		model.tell({ kind: "line", asker, line: 'NeuronWidget("mixed4a", neuron=3)', note: "" });
		await drawn();
		const text = one("textarea") as HTMLTextAreaElement;
		expect(text.value).toBe('NeuronWidget("mixed4a", neuron=3)');
		Object.defineProperty(navigator, "clipboard", {
			configurable: true,
			value: { writeText: () => Promise.reject(new Error("denied")) },
		});
		button("Copy").click();
		await drawn();
		expect(document.activeElement).toBe(text);
		expect(el.textContent).toContain("Ctrl+C");
		press(text, "Escape");
		await drawn();
		expect(all("textarea")).toHaveLength(0);
		expect(document.activeElement).toBe(button("Save and share"));
	});

	it("says that a neuron is dead", async () => {
		await open();
		model.tell(strengths());
		await drawn();
		expect(one('[data-neuron="3"]').getAttribute("aria-label")).toContain("dead");
		expect(el.textContent).toContain("Dead on these photos");
	});
});
