import type * as P from "./protocol";

/** How far pictures predict the neurons of a layer, as the kernel tells it. */
export interface Predicted {
	observer: string;
	note: string;
	/** Why no neuron has a number; "" where they have. */
	reason: string;
	pairs: number;
	photos: (number | null)[];
	image: (number | null)[];
	near: Set<number>;
	reasons: Map<number, string>;
}

export const predictedOf = (m: P.Predicted): Predicted => ({
	observer: m.observer,
	note: m.note,
	reason: m.reason,
	pairs: m.pairs,
	photos: m.photos,
	image: m.image,
	near: new Set(m.near),
	reasons: new Map(m.unknown.map((neuron, i) => [neuron, m.reasons[i] ?? ""])),
});

/** 0.974 -> "97 %" */
export const share = (x: number): string =>
	x < 1 && x >= 0.995 ? "over 99\u00a0%" : `${Math.round(100 * x)}\u00a0%`;

/** What is known of one neuron, in a line. */
export function sentence(p: Predicted, neuron: number): string {
	if (p.reason) return `How far pictures predict it: ${p.reason}.`;
	const photos = p.photos[neuron] ?? null;
	if (photos === null) return `How far pictures predict it: ${p.reasons.get(neuron) ?? "unknown"}.`;
	const image = p.image[neuron] ?? null;
	const alone = image === null ? "" : `; from the image alone in ${share(image)}`;
	return `A machine that knows these photos is right in ${share(photos)} of new pairs${alone}.`;
}

/** How many neurons have a share in each of ten steps from 50 % on, and how many lie below. */
export function distribution(shares: (number | null)[]): number[] {
	const bins = new Array<number>(11).fill(0);
	for (const x of shares) {
		if (x === null) continue;
		const bin = x < 0.5 ? 0 : 1 + Math.min(9, Math.floor((x - 0.5) * 20 + 1e-9));
		bins[bin] = (bins[bin] ?? 0) + 1;
	}
	return bins;
}

export function median(shares: (number | null)[]): number | null {
	const there = shares.filter((x): x is number => x !== null).sort((a, b) => a - b);
	const [low, high] = [there[(there.length - 1) >> 1], there[there.length >> 1]];
	return low === undefined || high === undefined ? null : (low + high) / 2;
}

/** The layer in a line. */
export function summary(p: Predicted): string {
	const middle = median(p.photos);
	if (middle === null) return "No neuron of this layer has a number.";
	return `Best predicted first: ${share(middle)} of new pairs right for the neuron in the middle (${p.observer}).`;
}
