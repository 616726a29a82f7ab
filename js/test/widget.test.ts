import { effect } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Commands } from "../src/commands";
import type { PageState } from "../src/page-state";
import type * as P from "../src/protocol";
import { liveUrls } from "../src/urls";
import { Widget } from "../src/widget";
import {
	channel,
	configured,
	dataset,
	frame,
	image,
	opened,
	photo,
	photos,
	progress,
	selected,
	TestModel,
	view,
} from "./helpers";

describe("a widget", () => {
	let model: TestModel;
	let widget: Widget;
	let state: PageState;
	let commands: Commands;
	let before: number;

	beforeEach(() => {
		vi.useFakeTimers();
		before = liveUrls();
		model = new TestModel();
		widget = new Widget(model);
		({ state, commands } = widget);
		model.tell(opened());
	});
	afterEach(() => {
		widget.dispose();
		expect(liveUrls()).toBe(before);
		vi.useRealTimers();
	});

	describe("selecting", () => {
		it("drags with few messages, settles with the last value at once", () => {
			for (let n = 0; n < 60; n++) {
				commands.select({ neuron: n }, false);
				vi.advanceTimersByTime(1000 / 60);
			}
			commands.select({ neuron: 60 }, true);
			const sent = model.of("select");
			// Eleven in the closed second, and the one of letting go.
			expect(sent.length).toBeLessThanOrEqual(12);
			expect(sent.at(-1)).toMatchObject({ target: channel(60), settled: true, seq: 61 });
			vi.advanceTimersByTime(1000);
			expect(model.of("select").length).toBe(sent.length);
		});

		it("keeps neuron and steps in range", () => {
			commands.select({ neuron: 9999, steps: 1 }, true);
			expect(model.of("select").at(-1)).toMatchObject({ target: channel(507), steps: 16 });
			commands.select({ layer: "mixed3a" }, true);
			expect(state.selection.neuron.value).toBe(255);
		});

		it("ignores an old echo, follows the kernel's own choice, but not during a drag", () => {
			commands.select({ neuron: 10 }, true);
			vi.advanceTimersByTime(200);
			commands.select({ neuron: 20 }, true);
			model.tell(selected(1, 10));
			expect(state.selection.neuron.value).toBe(20);
			model.tell(selected(-1, 77));
			expect(state.selection.neuron.value).toBe(77);
			commands.select({ neuron: 30 }, false);
			model.tell(selected(-1, 5));
			expect(state.selection.neuron.value).toBe(30);
		});

		it("counts on from another tab that is ahead", () => {
			model.tell(selected(41, 7));
			expect(state.selection.neuron.value).toBe(7);
			commands.select({ neuron: 8 }, true);
			expect(model.of("select").at(-1)?.seq).toBe(42);
		});

		it("reads traits only when no answer is due", () => {
			model.change("neuron", 50);
			expect(state.selection.neuron.value).toBe(50);
			commands.select({ neuron: 60 }, true);
			model.change("neuron", 55);
			expect(state.selection.neuron.value).toBe(60);
			model.tell(selected(1, 60));
			model.change("neuron", 70);
			expect(state.selection.neuron.value).toBe(70);
		});

		it("sends a waiting choice before it starts a rendering", () => {
			commands.select({ neuron: 11 }, false);
			commands.start();
			expect(model.sent.map((m) => m.kind)).toEqual(["select", "start"]);
			expect(state.tasks.render.asked.value).toBe("start");
			model.tell(progress("render", "running", 1, 11));
			expect(state.tasks.render.asked.value).toBe("");
		});
	});

	describe("a kernel that was restarted", () => {
		it("is gone at once when the host says so, and stays so until something is heard", () => {
			model.tell(progress("render", "running", 10));
			model.event("comm_live_update");
			expect(state.contact.state.value).toBe("gone");
			expect(model.of("poll")).toHaveLength(1);
			vi.advanceTimersByTime(40_000);
			expect(state.contact.state.value).toBe("gone");
			model.tell({ kind: "polled" });
			expect(state.contact.state.value).toBe("ok");
		});

		it("is noticed by its silence where the host says nothing", () => {
			model.tell(progress("render", "running", 10));
			vi.advanceTimersByTime(6_000);
			expect(model.of("poll")[0]).toEqual({ kind: "poll", more: true });
			expect(state.contact.state.value).toBe("busy");
			vi.advanceTimersByTime(30_000);
			expect(state.contact.state.value).toBe("gone");
		});
	});

	describe("stopping", () => {
		it("shows the request at once and until the work has ended", () => {
			model.tell(progress("render", "running", 10));
			expect(state.busy.value).toBe(true);
			commands.stop("render");
			expect(model.of("stop")).toEqual([{ kind: "stop", task: "render" }]);
			expect(state.tasks.render.asked.value).toBe("stop");
			model.tell(progress("render", "running", 11));
			expect(state.tasks.render.asked.value).toBe("stop");
			model.tell(progress("render", "stopped", 11));
			expect(state.tasks.render.asked.value).toBe("");
			expect(state.busy.value).toBe(false);
		});

		it("leaves the other tasks alone, and a refusal takes the request back", () => {
			model.tell(progress("render", "running", 10));
			model.tell(progress("scan", "running", 10));
			commands.stop("scan");
			model.tell(progress("render", "done", 512));
			expect(state.tasks.scan.asked.value).toBe("stop");
			model.tell(progress("scan", "stopped", 11));
			expect(state.busy.value).toBe(false);
			commands.resume("scan");
			expect(model.of("resume")).toEqual([{ kind: "resume", task: "scan" }]);
			expect(state.busy.value).toBe(true);
			model.tell({
				kind: "error",
				where: "scan",
				title: "t",
				message: "m",
				traceback: "",
				action: "",
				dataset: "",
			});
			expect(state.busy.value).toBe(false);
		});

		it("ends with the image where the rendering was over before the stop came", () => {
			commands.start();
			commands.stop("render");
			model.tell(image(3), [view(1)]);
			expect(state.tasks.render.asked.value).toBe("");
		});
	});

	describe("a snapshot", () => {
		const snapshot = (
			parts: [P.ToPage, DataView<ArrayBuffer>[]][],
		): [P.Snapshot, DataView<ArrayBuffer>[]] => [
			{
				kind: "snapshot",
				messages: parts.map(([m]) => m as unknown as Record<string, unknown>),
				counts: parts.map(([, b]) => b.length),
			},
			parts.flatMap(([, b]) => b),
		];

		it("brings everything, and twice does no harm", () => {
			const parts: [P.ToPage, DataView<ArrayBuffer>[]][] = [
				[opened(), []],
				[selected(-1, 68), []],
				[dataset(), []],
				[
					{ kind: "thumbs", layer: "mixed4a", neurons: [1, 2], finished: [true, false] },
					[view(1), view(2)],
				],
				[image(68), [view(3)]],
				photos(68),
			];
			for (let i = 0; i < 2; i++) {
				model.tell(...snapshot(parts));
				expect(state.selection.neuron.value).toBe(68);
				expect(state.dataset.value?.name).toBe("photos");
				expect(state.media.thumb("mixed4a", 1).value?.finished).toBe(true);
				expect(state.media.picture(channel(68))?.image.step).toBe(512);
				const set = state.media.photos(channel(68));
				expect([set?.most.length, set?.least.length]).toEqual([2, 2]);
				expect([...(set?.least[1]?.map ?? [])]).toEqual([0, 50, 100, 255]);
				expect(liveUrls() - before).toBe(2 + 1 + 4);
			}
		});

		it("tells the kernel of an error that was put away, so that no snapshot brings it back", () => {
			const error: P.Error = {
				kind: "error",
				where: "scan",
				title: "t",
				message: "m",
				traceback: "",
				action: "",
				dataset: "",
			};
			model.tell(error);
			commands.dismiss("scan");
			expect(state.errors.all.value).toEqual({});
			expect(model.of("dismiss")).toEqual([{ kind: "dismiss", where: "scan" }]);
			// One that was on its way: the kernel's answer takes it away.
			model.tell(...snapshot([[error, []]]));
			expect(state.errors.at("scan")).toBeDefined();
			model.tell({ ...error, message: "" });
			expect(state.errors.all.value).toEqual({});
		});

		it("forgets errors and progress of before", () => {
			model.tell(progress("scan", "running"));
			model.tell({
				kind: "error",
				where: "scan",
				title: "t",
				message: "m",
				traceback: "",
				action: "",
				dataset: "",
			});
			model.tell(...snapshot([[opened(), []]]));
			expect(state.errors.all.value).toEqual({});
			expect(state.tasks.scan.progress.value).toBeNull();
		});
	});

	it("lets another network or data set clear what was of the old one", () => {
		model.tell(image(3), [view(1)]);
		model.tell(dataset("a"));
		model.tell(...photos(3));
		model.tell(dataset("a"));
		expect(state.media.photos(channel(3))).toBeDefined();
		model.tell(dataset("b"));
		expect(state.media.photos(channel(3))).toBeUndefined();
		expect(state.media.picture(channel(3))).toBeDefined();
		model.tell(opened("net-2"));
		expect(state.media.picture(channel(3))).toBeUndefined();
	});

	it("keeps 64 neurons and gives the URLs of the others back", () => {
		for (let n = 0; n < 100; n++) model.tell(image(n), [view(1)]);
		expect(liveUrls() - before).toBe(64);
		expect(state.media.picture(channel(99))).toBeDefined();
	});

	it("empties the tiles on screen at every change of settings, and fills them again", () => {
		// A tile reads its signal when it is drawn, and is drawn again when that one changes.
		const seen: (string | undefined)[] = [];
		const end = effect(() => void seen.push(state.media.thumb("mixed4a", 3).value?.url));
		const thumbs: P.Thumbs = { kind: "thumbs", layer: "mixed4a", neurons: [3], finished: [true] };
		model.tell(configured());
		model.tell(thumbs, [view(1)]);
		model.tell(configured({ seed: 7 }));
		model.tell(configured());
		expect(seen.at(-1)).toBeUndefined();
		model.tell(thumbs, [view(1)]);
		expect(seen.at(-1)).toBeDefined();
		end();
	});

	it("shows how a task ended only beside what it made", () => {
		model.tell(image(3), [view(1)]);
		model.tell(progress("render", "done", 512));
		expect(state.renderRow.value?.state).toBe("done");
		commands.select({ neuron: 4 }, true);
		expect(state.renderRow.value).toBeNull();
		commands.select({ neuron: 3 }, true);
		model.tell(image(3, 61), [view(1)]);
		expect(state.renderRow.value).toBeNull();
		model.tell(progress("render", "running", 70, 4));
		expect(state.renderRow.value?.target).toEqual(channel(4));
		model.tell(progress("scan", "stopped", 5));
		expect(state.scanRow.value?.done).toBe(5);
		commands.select({ layer: "mixed3a" }, true);
		expect(state.scanRow.value).toBeNull();
	});

	it("gathers the curve of the rendering that runs", () => {
		for (const step of [10, 20, 30]) model.tell({ ...frame(step, 3, step), value: step * 2 });
		expect(state.curve.points.value).toEqual([
			[10, 20],
			[20, 40],
			[30, 60],
		]);
		model.tell({ ...frame(40, 3, 5), value: 1 });
		expect(state.curve.points.value).toEqual([[5, 1]]);
	});

	it("sends what is in sight once, and asks for a large photo once", () => {
		for (let i = 0; i < 5; i++) commands.inView([1, 2, 3]);
		vi.advanceTimersByTime(300);
		commands.inView([1, 2, 3]);
		vi.advanceTimersByTime(300);
		expect(model.of("in_view")).toHaveLength(1);
		commands.enlarge("most", 0);
		model.tell(
			{
				kind: "photo",
				target: channel(3),
				group: "most",
				scale: 1,
				quantile: 1,
				photo: photo(0),
			},
			[view(1), view(2), view(3)],
		);
		commands.enlarge("most", 0);
		expect(model.of("enlarge")).toHaveLength(1);
		expect(state.largeShot("most", 0)).toBeDefined();
	});

	it("says that the kernel is gone when nothing can be sent, and keeps the images", () => {
		model.tell(image(3), [view(1)]);
		vi.spyOn(model, "send").mockImplementation(() => {
			throw new Error("Cannot send");
		});
		commands.start();
		expect(state.contact.state.value).toBe("gone");
		expect(state.media.picture(channel(3))).toBeDefined();
	});

	it("does not care for a message it does not know", () => {
		expect(() => model.tell({ kind: "news" } as unknown as P.ToPage)).not.toThrow();
	});
});
