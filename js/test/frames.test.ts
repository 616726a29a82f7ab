import { describe, expect, it } from "vitest";
import { Frames } from "../src/frames";
import { frame, view } from "./helpers";

function made(still = false) {
	const acks: number[] = [];
	const decoding: (() => void)[] = [];
	const open = new Set<object>();
	const picture = (): ImageBitmap => {
		const made = { close: () => open.delete(made) };
		open.add(made);
		return made as unknown as ImageBitmap;
	};
	const frames = new Frames(
		(index) => acks.push(index),
		() => still,
		() => new Promise((done) => decoding.push(() => done(picture()))),
	);
	const decoded = async () => {
		decoding.shift()?.();
		await new Promise((done) => setTimeout(done));
	};
	return { acks, frames, decoded, open };
}

describe("Frames", () => {
	it("acknowledges a frame only when it is decoded", async () => {
		const { acks, frames, decoded } = made();
		frames.receive(frame(0), view(1));
		expect(acks).toEqual([]);
		await decoded();
		expect(acks).toEqual([0]);
		expect(frames.shown.value?.frame.index).toBe(0);
		frames.clear();
	});

	it("drops and acknowledges what was superseded while another was decoded", async () => {
		const { acks, frames, decoded } = made();
		for (const i of [0, 1, 2]) frames.receive(frame(i), view(1));
		expect(acks).toEqual([1]);
		await decoded();
		await decoded();
		expect(acks).toEqual([1, 0, 2]);
		expect(frames.shown.value?.frame.index).toBe(2);
		frames.clear();
	});

	it("answers only for the frames that ask for it", async () => {
		const { acks, frames, decoded } = made();
		const quiet = { ...frame(0), ack: false };
		for (const shown of [quiet, frame(1)]) {
			frames.receive(shown, view(1));
			await decoded();
			expect(frames.shown.value?.frame.index).toBe(shown.index);
		}
		for (const superseded of [{ ...frame(2), ack: false }, frame(3), frame(4)])
			frames.receive(superseded, view(1));
		expect(acks).toEqual([1, 3]);
		frames.clear();
		expect(acks).toEqual([1, 3, 4]);
		const still = made(true);
		still.frames.receive(quiet, view(1));
		expect(still.acks).toEqual([]);
	});

	it("shows nothing that was still being decoded when it was cleared", async () => {
		const { acks, frames, decoded, open } = made();
		frames.receive(frame(0), view(1));
		frames.clear();
		await decoded();
		expect(frames.shown.value).toBeNull();
		expect(acks).toEqual([0]);
		expect(open.size).toBe(0);
	});

	it("acknowledges but does not show when motion is reduced", () => {
		const { acks, frames } = made(true);
		frames.receive(frame(0), view(1));
		expect(acks).toEqual([0]);
		expect(frames.shown.value).toBeNull();
	});

	it("holds one picture after 500 frames and none after clear", async () => {
		const { frames, decoded, open } = made();
		for (let i = 0; i < 500; i++) {
			frames.receive(frame(i), view(1));
			await decoded();
		}
		expect(open.size).toBe(1);
		frames.clear();
		expect(open.size).toBe(0);
	});
});
