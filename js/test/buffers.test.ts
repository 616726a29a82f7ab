import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Connection } from "../src/connection";
import { Widget } from "../src/widget";
import { channel, frame, image, opened, photos, TestModel } from "./helpers";

type Wrap = (bytes: number[]) => BufferSource;

/** Bytes in the middle of a larger message, as a host hands them over. */
const within = (bytes: number[]): [ArrayBuffer, number, number] => {
	const whole = new Uint8Array([9, 9, 9, ...bytes, 9, 9]);
	return [whole.buffer, 3, bytes.length];
};

const HOSTS: [string, Wrap][] = [
	["DataView", (bytes) => new DataView(...within(bytes))],
	["Uint8Array", (bytes) => new Uint8Array(...within(bytes))],
	["ArrayBuffer", (bytes) => new Uint8Array(bytes).buffer],
];

describe("buffers", () => {
	let model: TestModel;
	let frames: Blob[];

	beforeEach(() => {
		model = new TestModel();
		frames = [];
		vi.stubGlobal("createImageBitmap", async (blob: Blob) => {
			frames.push(blob);
			return { close: () => undefined };
		});
	});
	afterEach(() => void vi.unstubAllGlobals());

	const inUrl = (url: string | undefined): number[] =>
		[...atob(url?.split(",")[1] ?? "")].map((letter) => letter.charCodeAt(0));

	it.each(HOSTS)("are read whole and alone from a host that gives %s", async (_, wrap) => {
		const widget = new Widget(model);
		model.tell(opened());
		model.tell(frame(0), [wrap([1, 2])]);
		model.tell(image(3), [wrap([3, 4, 5])]);
		const [info] = photos(3, 1);
		model.tell(info, [wrap([6]), wrap([0, 50, 100, 255]), wrap([7, 8]), wrap([1, 2, 3, 4])]);

		const { media } = widget.state;
		const set = media.photos(channel(3));
		const shown = [
			...(await Promise.all(frames.map(async (b) => [...new Uint8Array(await b.arrayBuffer())]))),
			inUrl(media.picture(channel(3))?.url),
			inUrl(set?.most[0]?.url),
			inUrl(set?.least[0]?.url),
		];
		expect(shown).toEqual([[1, 2], [3, 4, 5], [6], [7, 8]]);
		expect([...(set?.most[0]?.map ?? [])]).toEqual([0, 50, 100, 255]);
		expect([...(set?.least[0]?.map ?? [])]).toEqual([1, 2, 3, 4]);
		widget.dispose();
	});

	it.each(HOSTS)("go to the kernel with a message: %s", (_, wrap) => {
		const connection = new Connection(model);
		const buffers = [wrap([1, 2]), wrap([3])];
		connection.ask({ kind: "ready", view: "a" }, buffers);
		connection.send({ kind: "ready", view: "b" });
		expect(model.sentBuffers).toEqual([buffers, []]);
		connection.dispose();
	});
});
