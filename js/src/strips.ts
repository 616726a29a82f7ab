import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";
import { sameTarget } from "./target";
import { dropUrl, makeUrl } from "./urls";

/** Pictures that form together, or are finished. */
export interface Strip {
	info: P.Strip;
	urls: string[];
}

/** The facets of a target, and what lies between two: the last of each that was told. */
export class Strips {
	readonly facets: Signal<Strip | null> = signal(null);
	readonly between: Signal<Strip | null> = signal(null);

	/** `still`: no moving pictures are wanted. */
	constructor(
		readonly answer: (index: number) => void,
		readonly still: () => boolean,
	) {}

	/** The strip of a task, if it is of these targets. */
	of(task: P.Strip["task"], targets: P.Target[]): Strip | null {
		const strip = this[task].value;
		return strip?.info.of.every((one, i) => sameTarget(one, targets[i])) ? strip : null;
	}

	apply(info: P.Strip, buffers: DataView<ArrayBuffer>[]): void {
		if (info.index !== undefined) {
			if (info.ack) this.answer(info.index);
			if (this.still()) return;
		}
		this.#set(info.task, { info, urls: buffers.map((data) => makeUrl(data, "image/jpeg")) });
	}

	clear(): void {
		this.#set("facets", null);
		this.#set("between", null);
	}

	#set(task: P.Strip["task"], strip: Strip | null): void {
		for (const url of this[task].peek()?.urls ?? []) dropUrl(url);
		this[task].value = strip;
	}
}
