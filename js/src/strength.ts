import type * as P from "./protocol";

/** What a scan says of every neuron of a layer. */
export interface Strength {
	/** The score of each neuron's best photo. */
	best: number[];
	dead: Set<number>;
	/** Classes, and for each neuron those of its best photos, as places in this list. */
	labels: string[];
	top: number[][];
}

export const strengthOf = ({ best, dead, labels, top }: P.Strengths): Strength => ({
	best,
	dead: new Set(dead),
	labels,
	top,
});
