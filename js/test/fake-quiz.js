// A quiz with a scripted kernel behind it, as fake-kernel.js is for the widget.

import { bytes, pattern, scene } from "./drawings.js";

const TOTAL = 3;
const photos = (from, count, side) =>
	Array.from({ length: count }, (_, i) => bytes(scene(from + i, side), "image/jpeg"));

export class FakeQuiz {
	/** `condition`: what the references are. */
	constructor(condition) {
		this.condition = condition;
		this.listeners = new Map();
		this.correct = 0;
		this.state = {};
		this.show(0);
	}

	get(name) {
		return this.state[name];
	}

	on(name, callback) {
		this.listeners.set(name, (this.listeners.get(name) ?? new Set()).add(callback));
	}

	off(name, callback) {
		this.listeners.get(name)?.delete(callback);
	}

	send(message) {
		setTimeout(() => this[`on_${message.kind}`](message), 2);
	}

	on_answer({ side, question }) {
		const correct = side === "right";
		this.correct += correct;
		const answered = { answer: side, fires_more: "right", correct, neuron: 68 };
		this.set({ answered: { ...answered, left_score: 0.01273, right_score: 132.5 } });
		this.set({ tally: this.tally(question + 1) });
	}

	on_next({ question }) {
		this.show(question + 1);
	}

	on_restart() {
		this.correct = 0;
		this.show(0);
	}

	show(number) {
		const { condition } = this;
		const place = { number, total: TOTAL, layer: "mixed4a" };
		const [left, right] = photos(90 + 2 * number, 2, 320);
		const count = condition === "synthetic" ? 0 : 9;
		const question = {
			...place,
			condition,
			synthetic: condition === "photos" ? null : bytes(pattern(68, 288, 1), "image/jpeg"),
			most: photos(10, count, 128),
			least: photos(30, count, 128),
			left,
			right,
		};
		this.set({
			question: number < TOTAL ? question : place,
			answered: {},
			tally: this.tally(number),
		});
	}

	tally(answered) {
		const rows = ["synthetic", "photos", "both"].map((condition) =>
			condition === this.condition
				? { condition, correct: this.correct, answered }
				: { condition, correct: 0, answered: 0 },
		);
		return rows;
	}

	set(traits) {
		Object.assign(this.state, traits);
		for (const name of Object.keys(traits))
			for (const callback of this.listeners.get(`change:${name}`) ?? []) callback();
	}
}
