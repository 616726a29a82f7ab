import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";

export type Where = P.Error["where"];

/** What went wrong, at most one thing for each part of the widget. */
export class Errors {
	readonly all: Signal<Partial<Record<Where, P.Error>>> = signal({});

	at(where: Where): P.Error | undefined {
		return this.all.value[where];
	}

	add(error: P.Error): void {
		this.all.value = { ...this.all.value, [error.where]: error };
	}

	remove(where: Where): void {
		if (!this.all.value[where]) return;
		const { [where]: _, ...rest } = this.all.value;
		this.all.value = rest;
	}

	clear(): void {
		this.all.value = {};
	}
}
