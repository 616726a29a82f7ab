import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";
import { sameTarget } from "./target";
import { dropUrl, makeUrl } from "./urls";

/** Pictures that form together, or are finished. */
export interface Strip {
	info: P.Strip;
	urls: string[];
}

export const samePhoto = (a?: P.PhotoName | null, b?: P.PhotoName): boolean =>
	!!a && a.of === b?.of && a.number === b.number;

/** The last of each task that was told. */
export class Strips {
	readonly facets: Signal<Strip | null> = signal(null);
	readonly between: Signal<Strip | null> = signal(null);
	readonly accentuation: Signal<Strip | null> = signal(null);
	/** The photo that was asked for last. */
	readonly asked: Signal<P.PhotoName | null> = signal(null);

	/** `still`: no moving pictures are wanted. */
	constructor(
		readonly answer: (index: number) => void,
		readonly still: () => boolean,
	) {}

	/** The strip of a task, if it is of these targets, and of this photo. */
	of(task: P.Strip["task"], targets: P.Target[], photo?: P.PhotoName): Strip | null {
		const strip = this[task].value;
		const { of, photo: own } = strip?.info ?? {};
		if (own && !samePhoto(own, photo)) return null;
		return of?.every((one, i) => sameTarget(one, targets[i])) ? strip : null;
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
		this.#set("accentuation", null);
	}

	/** Forget what was made of a photo of the data set, or of the one that was brought. */
	forget(of: P.PhotoName["of"]): void {
		if (this.accentuation.peek()?.info.photo?.of === of) this.#set("accentuation", null);
	}

	#set(task: P.Strip["task"], strip: Strip | null): void {
		for (const url of this[task].peek()?.urls ?? []) dropUrl(url);
		this[task].value = strip;
	}
}
