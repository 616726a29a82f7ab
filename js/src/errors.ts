import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";

export type Where = P.Error["where"];

/** What went wrong, at most one thing for each part of the widget. */
export class Errors {
	readonly all: Signal<Partial<Record<Where, P.Error>>> = signal({});
	readonly #news: Signal<string>;

	/** `news`: what is said aloud; a question is, as long as it waits for an answer. */
	constructor(news: Signal<string>) {
		this.#news = news;
	}

	at(where: Where): P.Error | undefined {
		return this.all.value[where];
	}

	add(error: P.Error): void {
		this.all.value = { ...this.all.value, [error.where]: error };
		if (error.action === "download") this.#news.value = error.title;
	}

	remove(where: Where): void {
		const { [where]: removed, ...rest } = this.all.value;
		if (!removed) return;
		this.all.value = rest;
		if (this.#news.value === removed.title) this.#news.value = "";
	}

	clear(): void {
		for (const where of Object.keys(this.all.value) as Where[]) this.remove(where);
	}
}
