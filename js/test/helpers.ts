import type { Model } from "../src/model";
import { panels } from "../src/panels";
import type * as P from "../src/protocol";
import { channelTarget } from "../src/target";

// As on a page whose panels have come.
globalThis.neuronWidgetPanels = { test: () => panels };

/** A model that remembers what was sent and lets a test speak for the kernel. */
export class TestModel implements Model {
	readonly sent: P.FromPage[] = [];
	/** The buffers of each message in `sent`. */
	readonly sentBuffers: BufferSource[][] = [];
	#listeners = new Map<string, Set<(...args: unknown[]) => void>>();

	constructor(
		readonly traits: Record<string, unknown> = { layer: "mixed4a", neuron: 3, steps: 512 },
	) {}

	get(name: string): unknown {
		return this.traits[name];
	}

	send(content: unknown, _callbacks?: unknown, buffers: BufferSource[] = []): void {
		this.sent.push(content as P.FromPage);
		this.sentBuffers.push(buffers);
	}

	on(name: string, callback: (...args: unknown[]) => void): void {
		const all = this.#listeners.get(name) ?? new Set();
		this.#listeners.set(name, all.add(callback));
	}

	off(name: string, callback?: ((...args: unknown[]) => void) | null): void {
		if (callback) this.#listeners.get(name)?.delete(callback);
	}

	tell(message: P.ToPage, buffers: BufferSource[] = []): void {
		for (const callback of this.#listeners.get("msg:custom") ?? []) callback(message, buffers);
	}

	change(name: string, value: unknown): void {
		this.traits[name] = value;
		for (const callback of this.#listeners.get(`change:${name}`) ?? []) callback();
	}

	event(name: string): void {
		for (const callback of this.#listeners.get(name) ?? []) callback();
	}

	of<K extends P.FromPage["kind"]>(kind: K): Extract<P.FromPage, { kind: K }>[] {
		return this.sent.filter((m) => m.kind === kind) as Extract<P.FromPage, { kind: K }>[];
	}
}

export const view = (...bytes: number[]): DataView<ArrayBuffer> =>
	new DataView(new Uint8Array(bytes).buffer);

export const LAYERS: P.Layer[] = [
	{ name: "mixed4a", channels: 508, height: 14, width: 14 },
	{ name: "mixed3a", channels: 256, height: 28, width: 28 },
];

export const opened = (identity = "net-1"): P.Opened => ({
	kind: "opened",
	network: {
		name: "inceptionv1",
		title: "InceptionV1",
		identity,
		device: "cpu",
		note: "",
		layers: LAYERS,
	},
});

export const dataset = (name = "photos"): P.DatasetChanged => ({
	kind: "dataset",
	dataset: { name, photos: 10, skipped: [], skipped_count: 0, note: "" },
});

/** What made the pictures here. */
export const MADE: P.Settings = { size: 224, lr: 0.05, seed: 0, objective: "channel" };

export const configured = (change: P.Settings = {}): P.Configured => ({
	kind: "configured",
	settings: { ...MADE, previews: true, ...change },
});

/** A neuron of the layer that is selected first. */
export const channel = (neuron: number): P.ChannelTarget => channelTarget("mixed4a", neuron);

/** One of its units. */
export const unit = (neuron: number, row = 7, column = 6): P.UnitTarget => ({
	...channel(neuron),
	kind: "unit",
	row,
	column,
});

const targetOf = (given: number | P.Target): P.Target =>
	typeof given === "number" ? channel(given) : given;

export const strengths = (change: Partial<P.Strengths> = {}): P.Strengths => ({
	kind: "strengths",
	layer: "mixed4a",
	best: [1, 2, 3, 0],
	dead: [3],
	labels: ["tench", "golden retriever"],
	top: [[0], [0, 1], [1], []],
	...change,
});

export const selected = (seq: number, target: number | P.Target, steps = 512): P.Selected => ({
	kind: "selected",
	seq,
	target: targetOf(target),
	steps,
});

export const frame = (index: number, target: number | P.Target = 3, step = index): P.Frame => ({
	kind: "frame",
	index,
	target: targetOf(target),
	step,
	steps: 512,
});

export const image = (target: number | P.Target, step = 512): P.Image => ({
	kind: "image",
	target: targetOf(target),
	step,
	steps: 512,
	settings: MADE,
	seconds: 21,
	activation: 3198,
	comparable: true,
	history: [
		[1, 10],
		[512, 3400],
	],
	packaged: false,
	look: { mean_rgb: [1, 2, 3], std_rgb: [4, 5, 6], patterns: ["High contrast/texture"] },
});

export const progress = (
	task: P.Progress["task"],
	state: P.Progress["state"],
	done = 0,
	target: number | P.Target = 3,
): P.Progress => ({
	kind: "progress",
	task,
	layer: "mixed4a",
	target: task === "render" ? targetOf(target) : null,
	done,
	total: 512,
	rate: 24,
	left: 8,
	state,
});

export const photo = (rank: number): P.Photo => ({
	index: rank,
	rank,
	label: "tench",
	path: `a/<b>${rank}</b>.jpg`,
	score: 10 - rank,
	peak: 100,
	position: [1, 2],
	map_height: 2,
	map_width: 2,
	receptive_field: [0, 0, 0.5, 0.5],
});

/** The photos of a neuron, `k` a group, with their buffers. */
export function photos(neuron: number, k = 2): [P.Photos, DataView<ArrayBuffer>[]] {
	const group = Array.from({ length: k }, (_, rank) => photo(rank));
	return [
		{
			kind: "photos",
			target: channel(neuron),
			dataset: "photos",
			scanned: 10,
			scale: 100,
			quantile: 50,
			mean: 1,
			std: 2,
			dead: false,
			most: group,
			least: group,
			histogram: { counts: [3, 1], edges: [0, 1, 2] },
		},
		Array.from({ length: 4 * k }, (_, i) => (i % 2 ? view(0, 50, 100, 255) : view(1))),
	];
}
