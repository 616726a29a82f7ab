/**
 * What is read and maximised: a neuron, one unit of it, or an expression of several. Only this file knows the kinds of target;
 * everything else asks it for a target's text, for its names, and for the neuron it belongs to.
 */

import type { ChannelTarget, Layer, Target } from "./protocol";

/** A whole neuron. */
export const channelTarget = (layer: string, neuron: number): ChannelTarget => ({
	kind: "channel",
	layer,
	neuron,
});

/** The canonical text, as in Python: "mixed4a:68", "mixed4a:68@7,7". */
export function targetKey(target: Target): string {
	const { layer, neuron } = target;
	switch (target.kind) {
		case "channel":
			return `${layer}:${neuron}`;
		case "unit":
			return `${layer}:${neuron}@${target.row},${target.column}`;
		case "expression":
			return target.text;
	}
}

/** The neuron that a target belongs to: whose tile and photos are shown with it. */
export function channelOf(target: Target): ChannelTarget {
	switch (target.kind) {
		case "channel":
			return target;
		default:
			return channelTarget(target.layer, target.neuron);
	}
}

/**
 * A target's name below its layer, word by word: [["neuron", "68"], ["unit", "7,7"]]. What is known
 * of the layer may have another word and names: [["class", "tabby"]].
 */
export function partsOf(target: Target, layer?: Layer): [word: string, value: string][] {
	const { neuron: n } = target;
	const neuron: [string, string] = [layer?.word ?? "neuron", layer?.names?.[n] || `${n}`];
	switch (target.kind) {
		case "channel":
			return [neuron];
		case "unit":
			return [neuron, ["unit", `${target.row},${target.column}`]];
		case "expression":
			return [["expression", shortened(target.text)]];
	}
}

/** Without the numbers of long directions. */
const shortened = (text: string): string => text.replace(/\[[^\]]{40,}\]/g, "[...]");

/** The layer that stands before a target's name; an expression names its own. */
export const layerBefore = (target: Target): string =>
	target.kind === "expression" ? "" : target.layer;

/** What people should know of a target that its name does not say; empty for a whole neuron. */
export function noteOf(target: Target): string {
	switch (target.kind) {
		case "channel":
			return "";
		case "unit":
			return `One position of its map only: row\u00a0${target.row}, column\u00a0${target.column}.`;
		case "expression":
			return `Gallery and photos are of ${target.layer} neuron ${target.neuron}.`;
	}
}

// ------------------------------------------------------------------ what follows, for every kind

/** The key of what whole neurons have: photos, and a tile in the gallery. */
export const channelKey = (target: Target): string => targetKey(channelOf(target));

export const sameTarget = (a: Target | null | undefined, b: Target | null | undefined): boolean =>
	!!a && !!b && targetKey(a) === targetKey(b);

/** Whether it is a whole neuron. */
export const isWhole = (target: Target): boolean => sameTarget(target, channelOf(target));

/** "neuron 68", "neuron 68, unit 7,7" */
export const titleOf = (target: Target, layer?: Layer): string =>
	partsOf(target, layer)
		.map((part) => part.join(" "))
		.join(", ");

/** What a screen reader calls it: "mixed4a neuron 68". */
export const nameOf = (target: Target, layer?: Layer): string =>
	`${layerBefore(target)} ${titleOf(target, layer)}`.trim();

/** The way from a part of a neuron, or an expression, to the whole neuron. */
export const wayBack = (target: Target, layer?: Layer): string => {
	const neuron = titleOf(channelOf(target), layer);
	return target.kind === "expression"
		? `${neuron.replace(/^./, (c) => c.toUpperCase())} alone`
		: `Whole ${neuron}`;
};

/** What its number is called: "activation"; of a class "logit", of an expression "value". */
export const numberOf = (target: Target, layer?: Layer): string =>
	target.kind === "expression" ? "value" : layer?.word === "class" ? "logit" : "activation";

/** What it is: "neuron", "unit". */
export const wordOf = (target: Target, layer?: Layer): string =>
	partsOf(target, layer).at(-1)?.[0] ?? "";
