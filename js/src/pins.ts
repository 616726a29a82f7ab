import { type Signal, signal } from "@preact/signals";
import { type FromPage, MAX_PINS, type Target } from "./protocol";
import { channelKey, sameTarget, targetKey } from "./target";

/** What stays in sight side by side. The kernel keeps it, so that a reload does too. */
export class Pins {
	readonly list: Signal<Target[]> = signal([]);

	constructor(readonly ask: (message: FromPage) => void) {}

	has(target: Target): boolean {
		return this.list.value.some((pin) => sameTarget(pin, target));
	}

	/** Whether a picture or photos with this key belong to a pin: the caches ask. */
	holds(key: string): boolean {
		return this.list.value.some((pin) => targetKey(pin) === key || channelKey(pin) === key);
	}

	get full(): boolean {
		return this.list.value.length >= MAX_PINS;
	}

	toggle(target: Target): void {
		const rest = this.list.value.filter((pin) => !sameTarget(pin, target));
		const there = rest.length < this.list.value.length;
		if (!there && this.full) return;
		this.list.value = there ? rest : [...rest, target];
		this.ask({ kind: "pin", pins: this.list.value });
	}
}
