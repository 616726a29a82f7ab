import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";

export type Recipe = Pick<P.Configured, "size" | "lr" | "seed" | "objective">;

/** The kernel's own defaults, to go back to. */
export const DEFAULTS: Recipe & Pick<P.Configured, "previews"> = {
	size: 224,
	lr: 0.05,
	seed: 0,
	objective: "channel",
	previews: true,
};

const same = (a: Recipe, b: Recipe): boolean =>
	a.size === b.size && a.lr === b.lr && a.seed === b.seed && a.objective === b.objective;

/** How images are made now. A picture made otherwise is not this view's. */
export class RenderSettings {
	readonly now: Signal<P.Configured | null> = signal(null);

	constructor(readonly ask: (message: P.FromPage) => void) {}

	/** Ask the kernel to make images so. */
	change(wanted: Omit<P.Configure, "kind">): void {
		this.ask({ kind: "configure", ...wanted });
	}

	/** Take up what the kernel says; whether the pictures on the page are now of another recipe. */
	apply(message: P.Configured): boolean {
		const before = this.now.value;
		this.now.value = message;
		return before !== null && !same(before, message);
	}

	fits(image: P.Image): boolean {
		return this.now.value === null || same(this.now.value, image);
	}
}
