import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type * as P from "../src/protocol";
import quiz from "../src/quiz/index";
import { liveUrls } from "../src/urls";
import { TestModel, view } from "./helpers";

const TOTAL = 2;

const place = (number: number): P.QuizPlace => ({ number, total: TOTAL, layer: "mixed4a" });
const question = (number: number, change: Partial<P.QuizQuestion> = {}): P.QuizQuestion => ({
	...place(number),
	condition: "both",
	synthetic: view(1),
	most: [view(2), view(3)],
	// As Colab hands over the bytes of traits.
	least: [new Uint8Array([4])],
	left: view(5),
	right: view(6),
	...change,
});
const answered = (answer: "left" | "right"): P.QuizAnswered => ({
	answer,
	fires_more: "right",
	correct: answer === "right",
	left_score: 1.2345,
	right_score: 3198.4,
	neuron: 7,
});
const tally = (correct: number, count: number): P.QuizTally[] => [
	{ condition: "both", correct, answered: count },
	{ condition: "photos", correct: 0, answered: 0 },
];

describe("the quiz", () => {
	let model: TestModel;
	let el: HTMLElement;
	let before: number;
	let leave: () => void;

	const sent = (): P.FromQuiz[] => model.sent as unknown as P.FromQuiz[];
	const button = (name: string): HTMLButtonElement => {
		const found = [...el.querySelectorAll("button")].find(
			(b) => (b.querySelector(".nq-choice-name") ?? b).textContent === name,
		);
		if (!found) throw new Error(`no button ${name} in ${el.textContent}`);
		return found;
	};
	const text = (selector: string): string => el.querySelector(selector)?.textContent ?? "";
	const press = (key: string, how: KeyboardEventInit = {}): boolean =>
		(document.activeElement ?? el).dispatchEvent(
			new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...how }),
		);
	/** The kernel sets traits together. */
	const told = async (traits: Record<string, unknown>): Promise<void> => {
		Object.assign(model.traits, traits);
		for (const name of Object.keys(traits)) model.change(name, traits[name]);
		await Promise.resolve();
	};

	beforeEach(() => {
		vi.useFakeTimers();
		before = liveUrls();
		model = new TestModel({ question: question(0), answered: {}, tally: tally(0, 0) });
		el = document.createElement("div");
		document.body.append(el);
		leave = quiz.render({ model, el });
	});
	afterEach(() => {
		leave();
		expect(el.childElementCount).toBe(0);
		expect(liveUrls()).toBe(before);
		el.remove();
		vi.useRealTimers();
	});

	it("shows a question with its references and no answer", () => {
		expect(text(".nq-head")).toBe(
			"Question 1 of 2mixed4a · references: image and photosScore 0 of 0",
		);
		expect(el.querySelector("section")?.getAttribute("aria-label")).toBe("Neuron quiz");
		expect([...el.querySelectorAll("img")].map((image) => image.alt)).toEqual([
			"Rendered image, question 1",
			"Fire it most, photo 1",
			"Fire it most, photo 2",
			"Fire it least, photo 1",
			"",
			"",
		]);
		expect(text("[role=status]")).toBe("");
		expect(text(".nq-foot")).toContain("press ← or →");
		expect(liveUrls() - before).toBe(6);
	});

	it("sends one answer however often it is given, with the time that it took", () => {
		vi.advanceTimersByTime(2000);
		button("Right photo").click();
		button("Left photo").click();
		expect(sent()).toHaveLength(1);
		expect(sent()[0]).toMatchObject({ kind: "answer", question: 0, side: "right" });
		expect((sent()[0] as P.QuizAnswer).seconds).toBeCloseTo(2, 1);
	});

	it("is played by keyboard, and keeps the focus inside", async () => {
		button("Left photo").focus();
		expect(press("ArrowRight", { ctrlKey: true })).toBe(true);
		expect(sent()).toHaveLength(0);
		expect(press("ArrowRight")).toBe(false);
		await told({ answered: answered("right"), tally: tally(1, 1) });
		expect(text("[role=status]")).toBe("Correct: neuron 7 responds more to the right photo.");
		expect(document.activeElement).toBe(button("Next question"));
		press("ArrowLeft");
		expect(sent()).toHaveLength(1);
		button("Next question").click();
		expect(sent()[1]).toEqual({ kind: "next", question: 0 });
		await told({ question: question(1, { synthetic: null }), answered: {} });
		expect(document.activeElement?.className).toBe("nq-prompt");
		expect(text("[role=status]")).toBe("");
		expect(el.querySelector(".nq-synthetic")).toBeNull();
		// The kernel has answered twice: the third message goes out.
		press("ArrowLeft");
		expect(sent()[2]).toMatchObject({ kind: "answer", question: 1, side: "left" });
	});

	it("marks what fires more and what was chosen, and takes no focus that is elsewhere", async () => {
		await told({ answered: answered("left"), tally: tally(0, 1) });
		expect(button("Left photo").className).toBe("nq-choice nq-chosen");
		expect(button("Right photo").className).toBe("nq-choice nq-more");
		expect(button("Left photo").getAttribute("aria-disabled")).toBe("true");
		expect([...el.querySelectorAll(".nq-choice-score")].map((s) => s.textContent)).toEqual([
			"1.23",
			"✓ 3,200",
		]);
		expect(text(".nq-wrong")).toContain("Wrong: neuron 7");
		expect(text(".nq-score")).toBe("Score 0 of 1");
		expect(document.activeElement).toBe(document.body);
	});

	it("ends with a table and begins again", async () => {
		await told({ question: question(1), answered: answered("right"), tally: tally(1, 2) });
		button("See the score").focus();
		button("See the score").click();
		await told({ question: place(2), answered: {} });
		expect(text(".nq-head")).toContain("All 2 questions answered");
		expect([...el.querySelectorAll("tbody tr")].map((row) => row.textContent)).toEqual([
			"image and photos1 of 250 %",
			"photos––",
		]);
		expect(liveUrls()).toBe(before);
		expect(document.activeElement).toBe(button("Play again"));
		button("Play again").click();
		expect(sent()[1]).toEqual({ kind: "restart", question: 2 });
		await told({ question: question(0), tally: tally(0, 0) });
		expect(text(".nq-head")).toContain("Question 1 of 2");
	});

	it("says that the kernel does not answer, lets one try again, and takes it back", async () => {
		button("Left photo").click();
		vi.advanceTimersByTime(4_999);
		expect(el.querySelector("[role=alert]")).toBeNull();
		vi.advanceTimersByTime(1);
		expect(text("[role=alert]")).toContain("The kernel does not answer");
		button("Left photo").click();
		expect(sent()).toHaveLength(2);
		expect(el.querySelector("[role=alert]")).toBeNull();
		vi.advanceTimersByTime(5_000);
		expect(text("[role=alert]")).toContain("The kernel does not answer");
		await told({ answered: answered("left") });
		expect(el.querySelector("[role=alert]")).toBeNull();
	});
});
