import type { Predicted } from "./protocol";

/** 0.974 -> "97 %" */
export const share = (x: number): string =>
	x < 1 && x >= 0.995 ? "over 99\u00a0%" : `${Math.round(100 * x)}\u00a0%`;

/** What is known of one neuron, in a line. */
export function sentence(p: Predicted, neuron: number): string {
	const photos = p.photos[neuron] ?? null;
	if (photos === null) return `No number: ${p.reason || p.reasons[p.unknown.indexOf(neuron)]}.`;
	const image = p.image[neuron] ?? null;
	return `A machine that knows these photos is right in ${share(photos)} of new pairs${image === null ? "" : `; from the image alone in ${share(image)}`}.`;
}
