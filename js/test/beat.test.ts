import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { applyMessage } from "../src/apply-message";
import { Beat } from "../src/beat";
import { Connection } from "../src/connection";
import { PageState } from "../src/page-state";
import { dropUrl, makeUrl } from "../src/urls";
import { opened, progress, selected, TestModel } from "./helpers";

describe("Beat", () => {
	beforeEach(() => void vi.useFakeTimers());
	afterEach(() => void vi.useRealTimers());

	function followed() {
		const beat = new Beat();
		const source = signal(0);
		const written = beat.follow(source, (before, now) => now > before);
		const writings: number[] = [];
		written.subscribe((value) => void writings.push(value));
		return { beat, source, written, writings };
	}

	it("writes what goes on a few times a second, and the last of it", () => {
		const { source, writings } = followed();
		for (let i = 1; i <= 200; i++) {
			source.value = i;
			vi.advanceTimersByTime(10);
		}
		vi.advanceTimersByTime(1000);
		// In two seconds.
		expect(writings.length).toBeLessThanOrEqual(8);
		expect(writings.length).toBeGreaterThanOrEqual(5);
		expect(writings.at(-1)).toBe(200);
	});

	it("writes at once what is another thing, and nothing older after it", () => {
		const { source, written, writings } = followed();
		source.value = 1;
		vi.advanceTimersByTime(10);
		source.value = 2;
		source.value = -5;
		expect(written.value).toBe(-5);
		vi.advanceTimersByTime(1000);
		expect(writings).toEqual([0, 1, -5]);
	});

	it("writes all that is due together, with what is drawn anyway", () => {
		const beat = new Beat();
		const sources = [signal(0), signal(0)];
		const written = sources.map((s) => beat.follow(s, () => true));
		const both = (): number[] => written.map((w) => w.value);
		for (const s of sources) s.value = 1;
		vi.advanceTimersByTime(1);
		expect(both()).toEqual([1, 1]);
		for (const s of sources) s.value = 2;
		beat.join(); // too soon
		expect(both()).toEqual([1, 1]);
		vi.advanceTimersByTime(260);
		expect(both()).toEqual([1, 1]);
		beat.join();
		expect(both()).toEqual([2, 2]);
	});

	it("writes nothing once it is disposed of", () => {
		const { beat, source, written } = followed();
		source.value = 1;
		vi.advanceTimersByTime(1);
		source.value = 2;
		beat.dispose();
		vi.advanceTimersByTime(1000);
		source.value = 3;
		expect(written.value).toBe(1);
	});

	it("holds back the numbers of a task, never its beginning or end", () => {
		const state = new PageState(new Connection(new TestModel()));
		for (const message of [opened(), selected(-1, 3)]) applyMessage(state, message, []);
		const shown = (): [string, number] | undefined => {
			const p = state.scanRow.value;
			return p ? [p.state, p.done] : undefined;
		};
		const tell = (how: "running" | "stopped" | "waiting", done: number): void =>
			applyMessage(state, progress("scan", how, done), []);
		tell("waiting", 0);
		expect(shown()).toEqual(["waiting", 0]);
		tell("running", 1);
		expect(shown()).toEqual(["running", 1]);
		tell("running", 2);
		vi.advanceTimersByTime(1);
		tell("running", 3);
		expect(shown()).toEqual(["running", 2]);
		tell("stopped", 4);
		expect(shown()).toEqual(["stopped", 4]);
		vi.advanceTimersByTime(1000);
		expect(shown()).toEqual(["stopped", 4]);
		state.dispose();
	});
});

describe("URLs", () => {
	it("hold what is small themselves", () => {
		const data = new DataView(new Uint8Array([1, 2, 3]).buffer);
		expect(makeUrl(data, "image/jpeg")).toBe("data:image/jpeg;base64,AQID");
		const large = makeUrl(new DataView(new ArrayBuffer(9000)), "image/png");
		expect(large).toMatch(/^blob:/);
		dropUrl(large);
	});
});
