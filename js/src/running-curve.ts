import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";
import { targetKey } from "./target";

/** The objective over the steps of the rendering that runs, as far as frames told. */
export class RunningCurve {
	/** `[step, objective]` */
	readonly points: Signal<number[][]> = signal([]);
	#of = "";

	/** Take up a frame; `finished` is the picture there is of its target already. */
	add(frame: P.Frame, finished: P.Image | undefined): void {
		const key = targetKey(frame.target);
		let before = key === this.#of ? this.points.value : [];
		// The first frame seen is beyond a finished picture: the kernel goes on from that one.
		if (before.length === 0 && finished && frame.step > finished.step) before = finished.history;
		const last = before.at(-1)?.[0] ?? 0;
		this.#of = key;
		if (frame.value === undefined) this.points.value = [];
		// A step smaller than the last begins a new rendering.
		else if (frame.step > last) this.points.value = [...before, [frame.step, frame.value]];
		else if (frame.step < last) this.points.value = [[frame.step, frame.value]];
	}

	clear(): void {
		this.points.value = [];
	}
}
