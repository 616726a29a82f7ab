import type * as P from "../protocol";
import type { Saved, SavedNeuron, SavedPhoto } from "./data";

/** What `neuron_widget/page/notebook_state.py` adds to a widget's state, under these names. */
interface Base {
	parts: string[];
	selected: P.Selected;
	messages: P.ToPage[];
	holds: number[];
	line: Saved["line"];
}

interface Tiles {
	neurons: number[];
	finished: boolean[];
	data: string[];
}

interface Neuron {
	neuron: SavedNeuron;
	photos: Record<string, SavedPhoto>;
}

/** The state that a notebook file has of a widget, as what a saved page holds. */
export function fromState(get: (name: string) => unknown): Saved {
	const base = get("_saved") as Base;
	const tiles: Tiles = { neurons: [], finished: [], data: [] };
	const neurons: Saved["neurons"] = {};
	const photos: Saved["photos"] = {};
	for (const name of base.parts) {
		const part = get(name) as Tiles | Neuron | null | undefined;
		if (!part) continue;
		if ("data" in part) {
			tiles.neurons.push(...part.neurons);
			tiles.finished.push(...part.finished);
			tiles.data.push(...part.data);
		} else {
			neurons[name.replace("_saved_", "")] = part.neuron;
			Object.assign(photos, part.photos);
		}
	}
	const { selected, messages, holds, line } = base;
	const layer = "layer" in selected.target ? selected.target.layer : "";
	return {
		selected,
		messages,
		thumbs: { kind: "thumbs", layer, ...tiles },
		neurons,
		photos,
		filter: "",
		holds: holds.join(", "),
		line,
	};
}
