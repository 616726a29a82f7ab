import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { neuronKey } from "./media";
import type { Model } from "./model";
import type * as P from "./protocol";
import { clamp, MAX_STEPS, MIN_STEPS } from "./steps";
import { Throttle } from "./throttle";

const GAP_MS = 100;

/** The layer, the neuron and the steps in use; the person, Python and other tabs change them. */
export class Selection {
	readonly layer: Signal<string> = signal("");
	readonly neuron: Signal<number> = signal(0);
	readonly steps: Signal<number> = signal(512);
	readonly key: ReadonlySignal<string> = computed(() =>
		neuronKey(this.layer.value, this.neuron.value),
	);
	readonly #tell: Throttle<boolean>;
	#seq = 0;
	#echoed = 0;
	#dragging = false;

	constructor(
		ask: (message: P.Select) => void,
		/** How many neurons a layer has, where that is known. */
		readonly channels: (layer: string) => number | undefined,
	) {
		this.#tell = new Throttle(GAP_MS, (settled) =>
			ask({
				kind: "select",
				seq: this.#seq,
				layer: this.layer.value,
				neuron: this.neuron.value,
				steps: this.steps.value,
				settled,
			}),
		);
	}

	/** The person's choice. `settled` is false while a slider is being dragged. */
	change(change: { layer?: string; neuron?: number; steps?: number }, settled: boolean): void {
		if (change.layer !== undefined) this.layer.value = change.layer;
		if (change.steps !== undefined)
			this.steps.value = clamp(Math.round(change.steps), MIN_STEPS, MAX_STEPS);
		const wanted = Math.round(change.neuron ?? this.neuron.value);
		const channels = this.channels(this.layer.value);
		this.neuron.value = clamp(wanted, 0, channels ? channels - 1 : wanted);
		this.#seq += 1;
		this.#dragging = !settled;
		if (settled) this.#tell.pushNow(true);
		else this.#tell.push(false);
	}

	/** Send a choice that waits for its turn. */
	flush(): void {
		this.#tell.flush();
	}

	/** The kernel's word on what is selected; an old echo is ignored. */
	apply(message: P.Selected): void {
		const fromPython = message.seq < 0;
		if (fromPython ? this.#dragging : message.seq < this.#seq) return;
		if (!fromPython) {
			// Another tab may be ahead of us: count on from there.
			this.#seq = message.seq;
			this.#echoed = message.seq;
		}
		this.layer.value = message.layer;
		this.neuron.value = message.neuron;
		this.steps.value = message.steps;
	}

	/** Take up the traits, which carry no `seq`: while an answer is due they may be old news. */
	applyTraits(model: Model): void {
		if (this.#dragging || this.#echoed < this.#seq) return;
		const [layer, neuron, steps] = ["layer", "neuron", "steps"].map((name) => model.get(name));
		if (typeof layer === "string" && layer) this.layer.value = layer;
		if (typeof neuron === "number") this.neuron.value = neuron;
		if (typeof steps === "number") this.steps.value = steps;
	}

	dispose(): void {
		this.#tell.cancel();
	}
}
