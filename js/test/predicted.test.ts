import { expect, test } from "vitest";
import { galleryOrder } from "../src/order";
import { sentence, share } from "../src/predicted";
import type { Predicted } from "../src/protocol";

const known: Predicted = {
	kind: "predicted",
	layer: "mixed4a",
	summary: "EfficientNet-Lite0: 3 neurons",
	note: "",
	reason: "",
	chart: " ▄        █",
	photos: [0.97, null, 0.99, 0.52],
	image: [0.77, null, null, 0.51],
	near: [3],
	unknown: [1],
	reasons: ["it never fires on these photos"],
};

test.each([
	[
		0,
		"A machine that knows these photos is right in 97 % of new pairs; from the image alone in 77 %.",
	],
	[1, "No number: it never fires on these photos."],
	[2, "A machine that knows these photos is right in 99 % of new pairs."],
])("neuron %i is told in a line", (neuron, line) => {
	expect(sentence(known, neuron).replace(/\u00a0/g, " ")).toBe(line);
});

test("where no question is fair the line says why", () => {
	const photos = [null, null, null, null];
	const none = { ...known, photos, unknown: [], reason: "40 photos are too few" };
	expect(sentence(none, 0)).toBe("No number: 40 photos are too few.");
});

test("best predicted first, those without a number last; unknown layers by number", () => {
	expect(galleryOrder(4, "predicted", undefined, undefined, known)).toEqual([2, 0, 3, 1]);
	expect(galleryOrder(3, "predicted")).toEqual([0, 1, 2]);
});

test("nearly all is not all", () => {
	expect(share(0.974)).toBe("97\u00a0%");
	expect(share(0.998)).toBe("over 99\u00a0%");
	expect(share(1)).toBe("100\u00a0%");
});
