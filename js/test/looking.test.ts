import { describe, expect, it } from "vitest";
import { galleryOrder } from "../src/order";
import * as P from "../src/protocol";
import { liveUrls } from "../src/urls";
import { DrawnPage, drawn } from "./drawn-page";
import { channel, dataset, opened, photos, selected, strengths, view } from "./helpers";

const looked = (change: Partial<P.Looked> = {}): P.Looked => ({
	kind: "looked",
	look: 1,
	name: "cat.jpg",
	layer: "mixed4a",
	unit: "percentile",
	order: [5, 3, 0, 1, 2, 4],
	worth: ["10.0", "20.0", "30.0", "18.3", "50.0", "100.0"],
	map_height: 2,
	map_width: 2,
	...change,
});

const place = (change: Partial<P.Place> = {}): P.Place => ({
	kind: "place",
	look: 1,
	whole: true,
	title: "Most unusual on this photo",
	note: "Compared by percentiles among 10 photos of 'photos'.",
	neurons: [5, 3],
	worth: ["100.0", "18.3"],
	...change,
});

const answer = (question: string, change: Partial<P.Answer> = {}): P.Answer => ({
	kind: "answer",
	look: 1,
	question,
	classes: Array.from({ length: question ? 6 : 5 }, (_, i) => ({
		name: `class ${i}`,
		before: `${i} %`,
		after: `${9 - i} %`,
		change: `+${i}`,
	})),
	note: "",
	...change,
});

const MAP = view(0, 50, 100, 255);

describe("a photo that is brought", () => {
	const page = new DrawnPage();
	const { all, one, click, field } = {
		all: page.all.bind(page),
		one: page.one.bind(page),
		click: page.click.bind(page),
		field: page.field.bind(page),
	};
	const open = async (): Promise<void> => {
		for (const message of [opened(), selected(-1, 3), dataset(), strengths()])
			page.model.tell(message);
		await drawn();
	};
	const tell = async (...parts: [P.ToPage, BufferSource[]?][]): Promise<void> => {
		for (const [message, buffers] of parts) page.model.tell(message, buffers);
		await drawn();
	};
	const drop = async (file: File, kind = "drop"): Promise<Event> => {
		const event = new Event(kind, { bubbles: true, cancelable: true });
		const data = { types: ["Files"], files: [file] };
		Object.assign(event, kind === "paste" ? { clipboardData: data } : { dataTransfer: data });
		one(".neuron-widget").dispatchEvent(event);
		await new Promise((done) => setTimeout(done, 60));
		return event;
	};

	it.each(["drop", "paste"])("is sent in pieces when it comes by %s", async (kind) => {
		await open();
		const event = await drop(new File([new Uint8Array(P.PIECE_BYTES + 7)], "cat.jpg"), kind);
		expect(event.defaultPrevented).toBe(true);
		const sent = page.model.of("bring");
		expect(sent.map(({ name, piece, pieces }) => [name, piece, pieces])).toEqual([
			["cat.jpg", 0, 2],
			["cat.jpg", 1, 2],
		]);
		expect(sent[0]?.upload).toBe(sent[1]?.upload);
		const sizes = page.model.sentBuffers.flat().map((b) => b.byteLength);
		expect(sizes.filter(Boolean)).toEqual([P.PIECE_BYTES, 7]);
		expect(page.el.textContent).toContain("Looking at cat.jpg");
	});

	it("is not sent where it is too large: the kernel says so", async () => {
		await open();
		const file = new File(["x"], "huge.jpg");
		Object.defineProperty(file, "size", { value: P.PHOTO_BYTES + 1 });
		await drop(file);
		expect(page.model.of("bring")).toMatchObject([{ piece: 0, pieces: 99 }]);
		expect(page.model.sentBuffers.flat().at(-1)?.byteLength).toBe(0);
		const said = { title: "This photo cannot be looked at", message: "too large" };
		const more = { traceback: "", action: "", dataset: "" } as const;
		await tell([{ kind: "error", where: "photo", ...said, ...more }]);
		expect(one(".nw-error").textContent).toContain("too large");
		expect(page.el.textContent).not.toContain("Looking at");
	});

	it("orders the gallery until it is put away, and gives its URL back", async () => {
		await open();
		const before = liveUrls();
		const sort = field<HTMLSelectElement>("Sort");
		await tell([looked(), [view(1)]], [place(), [MAP, MAP]], [answer("")]);
		expect(sort.value).toBe("photo");
		expect(all("[data-neuron]").map((t) => Number(t.dataset.neuron))).toEqual(looked().order);
		expect(one(".nw-point img").getAttribute("alt")).toBe("");
		expect(one(".nw-point").getAttribute("aria-label")).toContain("cat.jpg");
		expect(page.el.textContent).toContain("Map of neuron 3, percentile 18.3");
		expect(all(".nw-firing button").map((b) => b.textContent)).toEqual([
			"neuron 5100.0",
			"neuron 318.3",
		]);
		expect(all(".nw-answers tbody tr")).toHaveLength(5);
		await tell([looked({ look: 2 }), [view(1)]]);
		expect(liveUrls()).toBe(before + 1);
		await click("Put it away");
		expect(page.model.of("put_away")).toHaveLength(1);
		await tell([{ kind: "put_away" }]);
		expect(sort.value).toBe("index");
		expect(liveUrls()).toBe(before);
		expect(page.el.textContent).toContain("Choose a photo");
	});

	it("asks for a map that is not there, and shows that of the tile under the pointer", async () => {
		await open();
		await tell([looked(), [view(1)]], [place({ neurons: [5] }), [MAP]]);
		expect(page.model.of("map")).toMatchObject([{ target: channel(3) }]);
		await tell([{ kind: "map", look: 1, target: channel(3) }, [MAP]]);
		expect(all(".nw-point canvas")).toHaveLength(1);
		one(".nw-firing button").dispatchEvent(new Event("focus"));
		await drawn();
		expect(page.el.textContent).toContain("Map of neuron 5,");
		one('[data-neuron="2"]').dispatchEvent(new Event("mouseover", { bubbles: true }));
		await drawn();
		expect(page.model.of("map").at(-1)).toMatchObject({ target: channel(2) });
		expect(page.model.of("map")).toHaveLength(2);
	});

	it("is pointed at by arrow keys and by clicks", async () => {
		await open();
		await tell([looked(), [view(1)]], [place(), [MAP, MAP]]);
		const key = async (name: string): Promise<void> => {
			const event = new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true });
			one(".nw-point").dispatchEvent(event);
			expect(event.defaultPrevented).toBe(true);
			await new Promise((done) => setTimeout(done, 80));
		};
		await key("ArrowUp");
		await key("ArrowLeft");
		await key("ArrowLeft");
		expect(page.model.of("place").at(-1)).toMatchObject({ row: 0, column: 0 });
		await tell([place({ whole: false, title: "Firing at row 0, column 0", neurons: [1] }), [MAP]]);
		expect(page.el.textContent).toContain("Firing at row 0, column 0");
		// What is said of an older look is not taken for this one.
		await tell([place({ look: 7, whole: false, title: "old" }), [MAP, MAP]]);
		expect(page.el.textContent).not.toContain("old");
		await key("Escape");
		expect(page.el.textContent).toContain("Most unusual on this photo");
	});

	it("shows the classes without a neuron when the answer to that question is there", async () => {
		await open();
		await tell([looked(), [view(1)]], [answer("")]);
		const change = field<HTMLSelectElement>("Neuron 3");
		change.value = "mean";
		change.dispatchEvent(new Event("change"));
		await drawn();
		const asked = page.model.of("answer").at(-1) as P.AskAnswer;
		expect(asked).toMatchObject({ targets: [channel(3)], mean: true, times: 0 });
		await tell([answer("another question")]);
		expect(one(".nw-answers table").textContent).not.toContain("9 %");
		await tell([answer(asked.question)]);
		expect(all(".nw-answers tbody tr")).toHaveLength(6);
		expect(one(".nw-answers table").textContent).toContain("9 %");
		await tell([answer("", { classes: [], note: "it gives no classes" })]);
		expect(one(".nw-answers").textContent).toContain("it gives no classes");
	});

	it("may be one of the data set's", async () => {
		await open();
		page.model.tell(...photos(3));
		await drawn();
		all(".nw-strip button")[1]?.click();
		await drawn();
		await click("Look at this one");
		expect(page.model.of("bring_shown")).toMatchObject([
			{ target: channel(3), group: "most", rank: 1 },
		]);
		expect(all("[role=dialog]")).toHaveLength(0);
	});
});

describe("a saved page", () => {
	it("has no panel for a photo, and takes none", async () => {
		const { TestModel } = await import("./helpers");
		const factory = (await import("../src/index")).default;
		const model = new TestModel({ layer: "mixed4a", neuron: 3, steps: 512, saved: true });
		const el = document.body.appendChild(document.createElement("div"));
		const end = new AbortController();
		const widget = factory();
		widget.initialize({ model, signal: end.signal });
		widget.render({ model, el, signal: end.signal });
		for (const message of [opened(), selected(-1, 3), dataset()]) model.tell(message);
		model.tell(...photos(3));
		await drawn();
		expect(el.textContent).toContain("Most activating");
		expect(el.textContent).not.toContain("Your photo");
		const event = new Event("drop", { bubbles: true, cancelable: true });
		Object.assign(event, { dataTransfer: { types: ["Files"], files: [new File(["x"], "a.jpg")] } });
		el.querySelector(".neuron-widget")?.dispatchEvent(event);
		await drawn();
		expect(model.of("bring")).toHaveLength(0);
		end.abort();
		el.remove();
	});
});

it("without a photo its order is that of the numbers", () => {
	expect(galleryOrder(3, "photo")).toEqual([0, 1, 2]);
	expect(galleryOrder(3, "photo", undefined, [2, 0, 1])).toEqual([2, 0, 1]);
});
