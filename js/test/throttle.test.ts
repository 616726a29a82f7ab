import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Throttle } from "../src/throttle";

describe("Throttle", () => {
	beforeEach(() => void vi.useFakeTimers());
	afterEach(() => void vi.useRealTimers());

	function made() {
		const sent: [number, number][] = [];
		const throttle = new Throttle<number>(
			100,
			(v) => sent.push([Date.now(), v]),
			() => Date.now(),
		);
		return { sent, throttle };
	}

	it("sends at most ten a second of sixty events, and the last one", () => {
		const { sent, throttle } = made();
		for (let i = 0; i < 120; i++) {
			throttle.push(i);
			vi.advanceTimersByTime(1000 / 60);
		}
		vi.advanceTimersByTime(500);
		expect(sent.length).toBeLessThanOrEqual(21);
		expect(sent.length).toBeGreaterThanOrEqual(18);
		expect(sent.at(-1)?.[1]).toBe(119);
		const gaps = sent.slice(1).map(([at], i) => at - (sent[i] as [number, number])[0]);
		expect(Math.min(...gaps)).toBeGreaterThanOrEqual(100);
	});

	it("sends at once when told to, in place of what waits", () => {
		const { sent, throttle } = made();
		throttle.push(1);
		vi.advanceTimersByTime(10);
		throttle.push(2);
		throttle.pushNow(3);
		expect(sent.map(([, v]) => v)).toEqual([1, 3]);
		vi.advanceTimersByTime(500);
		expect(sent.length).toBe(2);
	});

	it("holds a held key to the same rate and never loses the last", () => {
		const { sent, throttle } = made();
		for (let i = 0; i < 60; i++) {
			throttle.push(i);
			throttle.pushNow(i);
			vi.advanceTimersByTime(33);
		}
		vi.advanceTimersByTime(500);
		expect(sent.length).toBeLessThanOrEqual(21);
		expect(sent.at(-1)?.[1]).toBe(59);
	});

	it("sends one message for a key that fires input and change together", () => {
		const { sent, throttle } = made();
		throttle.push(1);
		throttle.pushNow(1);
		vi.advanceTimersByTime(500);
		expect(sent.length).toBe(1);
	});
});
