import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KNOWN_SILENCE_MS, Poll, SILENCE_MS } from "../src/poll";

describe("Poll", () => {
	let asked: boolean[];
	let wanted: boolean;
	let poll: Poll;

	beforeEach(() => {
		vi.useFakeTimers();
		asked = [];
		wanted = true;
		poll = new Poll(
			(more) => asked.push(more),
			() => wanted,
			() => vi.getMockedSystemTime()?.getTime() ?? 0,
		);
		poll.poke();
	});
	afterEach(() => {
		poll.dispose();
		vi.useRealTimers();
	});

	it("does not ask while messages come", () => {
		for (let i = 0; i < 40; i++) {
			vi.advanceTimersByTime(500);
			poll.heard("progress");
		}
		expect(asked).toEqual([]);
	});

	it("asks after two seconds of silence, four times a second, one question at a time", () => {
		vi.advanceTimersByTime(SILENCE_MS - 1);
		expect(asked).toEqual([]);
		vi.advanceTimersByTime(260);
		expect(asked).toEqual([true]);
		vi.advanceTimersByTime(3000);
		expect(asked).toEqual([true]);
		for (let i = 0; i < 4; i++) {
			poll.heard("frame");
			poll.heard("polled");
			vi.advanceTimersByTime(250);
		}
		expect(asked).toHaveLength(5);
	});

	it("stops when a message from the background arrives, and is patient from then on", () => {
		vi.advanceTimersByTime(SILENCE_MS + 250);
		poll.heard("polled");
		poll.heard("pulse");
		expect(asked).toEqual([true, false]);
		expect(poll.on).toBe(false);
		vi.advanceTimersByTime(SILENCE_MS + 500);
		expect(asked).toHaveLength(2);
		vi.advanceTimersByTime(KNOWN_SILENCE_MS);
		expect(asked).toEqual([true, false, true]);
	});

	it("says so when it rests: the kernel holds nothing for it any more", () => {
		vi.advanceTimersByTime(SILENCE_MS + 250);
		wanted = false;
		vi.advanceTimersByTime(250);
		// Too late for an answer: it asks no more.
		poll.heard("pulse");
		expect(asked).toEqual([true, false]);
		vi.advanceTimersByTime(5000);
		expect(asked).toHaveLength(2);
	});

	it("rests when nothing is under way, and where it is sure asks at once the next time", () => {
		vi.advanceTimersByTime(SILENCE_MS + 250);
		for (let i = 0; i < 9; i++) {
			poll.heard("polled");
			vi.advanceTimersByTime(250);
		}
		wanted = false;
		vi.advanceTimersByTime(5000);
		const before = asked.length;
		wanted = true;
		vi.advanceTimersByTime(5000);
		expect(asked).toHaveLength(before);
		poll.poke();
		vi.advanceTimersByTime(260);
		expect(asked).toHaveLength(before + 1);
	});
});
