import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Model } from "./model";
import type * as P from "./protocol";
import { clamp, MAX_STEPS, MIN_STEPS } from "./steps";
import { channelOf, channelTarget, sameTarget, targetKey } from "./target";
import { Throttle } from "./throttle";

const GAP_MS = 100;

/** What a person chooses: a target, or a whole neuron by its number or by its layer; and steps. */
export interface Choice {
	target?: P.Target;
	layer?: string;
	neuron?: number;
	steps?: number;
}

/** The target and the steps in use; the person, Python and other tabs change them. */
export class Selection {
	readonly target: Signal<P.Target> = signal(channelTarget("", 0));
	readonly steps: Signal<number> = signal(512);
	/** Names the target. */
	readonly key: ReadonlySignal<string> = computed(() => targetKey(this.target.value));
	/** The neuron it belongs to, whose tile and photos are shown. */
	readonly channel: ReadonlySignal<P.ChannelTarget> = computed(() => channelOf(this.target.value));
	readonly layer: ReadonlySignal<string> = computed(() => this.channel.value.layer);
	readonly neuron: ReadonlySignal<number> = computed(() => this.channel.value.neuron);
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
				target: this.target.value,
				steps: this.steps.value,
				settled,
			}),
		);
	}

	/** The person's choice. `settled` is false while a slider is being dragged. */
	change({ target, layer, neuron, steps }: Choice, settled: boolean): void {
		if (steps !== undefined) this.steps.value = clamp(Math.round(steps), MIN_STEPS, MAX_STEPS);
		if (target) this.#take(target);
		else if (layer !== undefined || neuron !== undefined)
			this.#take(this.#whole(layer ?? this.layer.value, neuron ?? this.neuron.value));
		this.#seq += 1;
		this.#dragging = !settled;
		if (settled) this.#tell.pushNow(true);
		else this.#tell.push(false);
	}

	/** The nearest neuron that the layer has. */
	#whole(layer: string, neuron: number): P.ChannelTarget {
		const wanted = Math.round(neuron);
		const channels = this.channels(layer);
		return channelTarget(layer, clamp(wanted, 0, channels ? channels - 1 : wanted));
	}

	/** An equal target is not a new one: what listens is left alone. */
	#take(target: P.Target): void {
		if (!sameTarget(target, this.target.value)) this.target.value = target;
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
		this.#take(message.target);
		this.steps.value = message.steps;
	}

	/** Take up the traits, which carry no `seq`: while an answer is due they may be old news. */
	applyTraits(model: Model): void {
		if (this.#dragging || this.#echoed < this.#seq) return;
		const [layer, neuron, steps] = ["layer", "neuron", "steps"].map((name) => model.get(name));
		const channel = channelTarget(
			typeof layer === "string" && layer ? layer : this.layer.value,
			typeof neuron === "number" ? neuron : this.neuron.value,
		);
		// Traits know whole neurons only: where they say nothing new, a unit of it may be selected.
		if (!sameTarget(channel, this.channel.value)) this.target.value = channel;
		if (typeof steps === "number") this.steps.value = steps;
	}

	dispose(): void {
		this.#tell.cancel();
	}
}
