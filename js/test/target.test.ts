import { describe, expect, it } from "vitest";
import { fileName } from "../src/exports";
import {
	channelKey,
	channelOf,
	isWhole,
	nameOf,
	noteOf,
	numberOf,
	partsOf,
	sameTarget,
	targetKey,
	titleOf,
	wayBack,
	wordOf,
} from "../src/target";
import { channel, unit } from "./helpers";

describe("a target", () => {
	it.each([
		[channel(68), "mixed4a:68", "neuron 68", "neuron", true, "mixed4a_68_image.png"],
		[
			unit(68, 7, 6),
			"mixed4a:68@7,6",
			"neuron 68, unit 7,6",
			"unit",
			false,
			"mixed4a_68-7-6_image.png",
		],
	] as const)("has a text and names: %o", (target, key, title, word, whole, file) => {
		expect(targetKey(target)).toBe(key);
		expect(titleOf(target)).toBe(title);
		expect(nameOf(target)).toBe(`mixed4a ${title}`);
		expect(wordOf(target)).toBe(word);
		expect(partsOf(target).at(-1)?.[0]).toBe(word);
		expect(isWhole(target)).toBe(whole);
		expect(noteOf(target) === "").toBe(whole);
		expect(channelOf(target)).toEqual(channel(68));
		expect(channelKey(target)).toBe("mixed4a:68");
		expect(fileName(target, "image")).toBe(file);
	});

	it("may be an expression, which names its own layers", () => {
		const text = "mixed4a:68 - 0.5*mixed4b:3";
		const target = { ...channel(68), kind: "expression", text } as const;
		expect(targetKey(target)).toBe(text);
		expect(titleOf(target)).toBe(`expression ${text}`);
		expect(nameOf(target)).toBe(`expression ${text}`);
		expect(wordOf(target)).toBe("expression");
		expect(numberOf(target)).toBe("value");
		expect(numberOf(channel(68))).toBe("activation");
		expect(isWhole(target)).toBe(false);
		expect(noteOf(target)).toBe("Gallery and photos are of mixed4a neuron 68.");
		expect(wayBack(target)).toBe("Neuron 68 alone");
		expect(wayBack(unit(68))).toBe("Whole neuron 68");
		expect(channelOf(target)).toEqual(channel(68));
		expect(fileName(target, "image")).toBe("mixed4a-68-0.5-mixed4b_3_image.png");
		const numbers = Array.from({ length: 100 }, () => "0.25").join(", ");
		const long = { ...target, text: `direction(mixed4a, [${numbers}])` };
		expect(titleOf(long)).toBe("expression direction(mixed4a, [...])");
		expect(targetKey(long)).toBe(long.text);
		expect(fileName(long, "image").length).toBeLessThan(140);
	});

	it.each([
		[0, "class tabby"],
		[1, "class 1"],
	])("has the name that its layer gives it: %i", (neuron, title) => {
		const shape = { channels: 2, height: 1, width: 1 };
		const layer = { name: "logits", ...shape, word: "class", names: ["tabby", ""] };
		const target = { ...channel(neuron), layer: "logits" };
		expect(titleOf(target, layer)).toBe(title);
		expect(nameOf(target, layer)).toBe(`logits ${title}`);
		expect(wordOf(target, layer)).toBe("class");
		expect(targetKey(target)).toBe(`logits:${neuron}`);
	});

	it("is the same when its text is", () => {
		expect(sameTarget(unit(68), { ...unit(68) })).toBe(true);
		for (const other of [channel(68), unit(68, 6, 7), unit(69), null, undefined])
			expect(sameTarget(unit(68), other)).toBe(false);
		expect(sameTarget(null, null)).toBe(false);
	});

	it("gives a file a name that every file system takes", () => {
		const odd = { ...channel(3), layer: "a:b/c d" };
		expect(fileName(odd, "image")).toBe("a-b-c-d_3_image.png");
	});
});
