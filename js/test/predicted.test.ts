import { expect, test } from "vitest";
import { galleryOrder } from "../src/order";
import { distribution, median, predictedOf, sentence, share } from "../src/predicted";
import type * as P from "../src/protocol";

const message: P.Predicted = {
	kind: "predicted",
	layer: "mixed4a",
	observer: "EfficientNet-Lite0",
	note: "",
	reason: "",
	references: 9,
	pairs: 2500,
	photos: [0.97, null, 0.99, 0.52],
	image: [0.77, null, null, 0.51],
	near: [3],
	unknown: [1],
	reasons: ["it never fires on these photos"],
};
const known = predictedOf(message);

test.each([
	[
		0,
		"A machine that knows these photos is right in 97 % of new pairs; from the image alone in 77 %.",
	],
	[1, "How far pictures predict it: it never fires on these photos."],
	[2, "A machine that knows these photos is right in 99 % of new pairs."],
])("neuron %i is told in a line", (neuron, line) => {
	expect(sentence(known, neuron).replace(/\u00a0/g, " ")).toBe(line);
});

test("where no question is fair the line says why", () => {
	const none = predictedOf({ ...message, reason: "40 photos are too few" });
	expect(sentence(none, 0)).toBe("How far pictures predict it: 40 photos are too few.");
});

test("best predicted first, those without a number last; unknown layers by number", () => {
	expect(galleryOrder(4, "predicted", undefined, known)).toEqual([2, 0, 3, 1]);
	expect(galleryOrder(3, "predicted")).toEqual([0, 1, 2]);
});

test("the distribution has chance at its left and all that is known in it", () => {
	expect(distribution([0.4, 0.5, 0.549, 0.55, 0.97, 1, null])).toEqual([
		1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2,
	]);
	expect(median([0.5, null, 0.7])).toBeCloseTo(0.6);
	expect(median([null])).toBe(null);
	expect(share(0.974)).toBe("97\u00a0%");
	expect(share(0.998)).toBe("over 99\u00a0%");
});
