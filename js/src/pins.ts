import { type Signal, signal } from "@preact/signals";
import { neuronKey } from "./media";
import { type Choice, type FromPage, MAX_PINS } from "./protocol";

/** Neurons that stay in sight side by side. The kernel keeps them, so that a reload does too. */
export class Pins {
	readonly list: Signal<Choice[]> = signal([]);

	constructor(readonly ask: (message: FromPage) => void) {}

	has(layer: string, neuron: number): boolean {
		return this.holds(neuronKey(layer, neuron));
	}

	/** The same by key, without subscribing: the caches ask this. */
	holds(key: string): boolean {
		return this.list.value.some((p) => neuronKey(p.layer, p.neuron) === key);
	}

	get full(): boolean {
		return this.list.value.length >= MAX_PINS;
	}

	toggle(layer: string, neuron: number): void {
		const rest = this.list.value.filter((p) => p.layer !== layer || p.neuron !== neuron);
		const there = rest.length < this.list.value.length;
		if (!there && this.full) return;
		this.list.value = there ? rest : [...rest, { layer, neuron }];
		this.ask({ kind: "pin", pins: this.list.value });
	}
}
