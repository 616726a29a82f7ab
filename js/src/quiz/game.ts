import type { Model } from "../model";
import type { FromQuiz, QuizAnswered, QuizPlace, QuizQuestion, QuizTally } from "../protocol";

export type Side = QuizAnswered["answer"];

/** What the kernel says to show. */
export interface Shown {
	question: QuizPlace | QuizQuestion;
	/** null: not answered yet. */
	answered: QuizAnswered | null;
	tally: QuizTally[];
}

const TRAITS = ["change:question", "change:answered", "change:tally"];
const PATIENCE_MS = 5_000;

/** Whether a question is shown, and not the end. */
export const isOpen = (question: QuizPlace | QuizQuestion): question is QuizQuestion =>
	"left" in question;

/** One view's end of the game: what is shown, and what the person does. */
export class Game {
	shown: Shown;
	/** Something was sent, and nothing came back for long. */
	silent = false;
	#shownAt = performance.now();
	#timer: ReturnType<typeof setTimeout> | undefined;
	#due = false;
	#ended = false;
	readonly #model: Model;
	readonly #changed = (): void => this.#redraw();

	constructor(
		model: Model,
		/** Draw what is shown; `moved` when there is another question or answer. */
		readonly draw: (moved: boolean) => void,
	) {
		this.#model = model;
		this.shown = read(model);
		for (const trait of TRAITS) model.on(trait, this.#changed);
	}

	choose(side: Side): void {
		const { question, answered } = this.shown;
		if (answered || !isOpen(question)) return;
		const seconds = (performance.now() - this.#shownAt) / 1000;
		this.#send({ kind: "answer", question: question.number, side, seconds });
	}

	next(): void {
		this.#send({ kind: "next", question: this.shown.question.number });
	}

	restart(): void {
		this.#send({ kind: "restart", question: this.shown.question.number });
	}

	dispose(): void {
		this.#ended = true;
		clearTimeout(this.#timer);
		for (const trait of TRAITS) this.#model.off(trait, this.#changed);
	}

	/** Send once, until something comes back or the kernel was silent for long. */
	#send(message: FromQuiz): void {
		if (this.#timer !== undefined) return;
		if (this.silent) {
			this.silent = false;
			this.draw(false);
		}
		this.#timer = setTimeout(() => {
			this.#timer = undefined;
			this.silent = true;
			this.draw(false);
		}, PATIENCE_MS);
		this.#model.send(message);
	}

	/** Traits that changed together are drawn once: the focus is where it was before all of them. */
	#redraw(): void {
		if (this.#due) return;
		this.#due = true;
		queueMicrotask(() => {
			this.#due = false;
			if (this.#ended) return;
			clearTimeout(this.#timer);
			this.#timer = undefined;
			this.silent = false;
			const before = this.shown;
			this.shown = read(this.#model);
			const another = this.shown.question !== before.question;
			if (another) this.#shownAt = performance.now();
			this.draw(another || this.shown.answered?.answer !== before.answered?.answer);
		});
	}
}

function read(model: Model): Shown {
	const answered = model.get("answered") as QuizAnswered | Record<string, never>;
	return {
		question: model.get("question") as QuizPlace | QuizQuestion,
		answered: "answer" in answered ? (answered as QuizAnswered) : null,
		tally: model.get("tally") as QuizTally[],
	};
}
