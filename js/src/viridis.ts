/**
 * The viridis colour map (van der Walt and Smith, matplotlib), from the sixth-degree polynomial
 * fit by Matt Zucker; within 2/255 of the table.
 */

const POLYNOMIAL: readonly (readonly [number, number, number])[] = [
	[0.2777273272234177, 0.005407344544966578, 0.3340998053353061],
	[0.1050930431085774, 1.404613529898575, 1.384590162594685],
	[-0.3308618287255563, 0.214847559468213, 0.09509516302823659],
	[-4.634230498983486, -5.799100973351585, -19.33244095627987],
	[6.228269936347081, 14.17993336680509, 56.69055260068105],
	[4.776384997670288, -13.74514537774601, -65.35303263337234],
	[-5.435455855934631, 4.645852612178535, 26.3124352495832],
];

/** 256 x 3 bytes, RGB. */
export const VIRIDIS: Uint8Array = (() => {
	const table = new Uint8Array(256 * 3);
	for (let i = 0; i < 256; i++) {
		for (let c = 0; c < 3; c++) {
			let sum = 0;
			for (const row of POLYNOMIAL.toReversed()) sum = sum * (i / 255) + (row[c] as number);
			table[i * 3 + c] = Math.round(Math.min(Math.max(sum, 0), 1) * 255);
		}
	}
	return table;
})();

export type MapMode = "off" | "blend" | "only";

/**
 * RGBA pixels of an activation map. In "blend" the alpha follows the value, so that a weak map
 * looks weak on the photo; in "only" every pixel is opaque.
 */
export function mapPixels(map: Uint8Array, mode: MapMode, opacity: number): Uint8ClampedArray {
	const pixels = new Uint8ClampedArray(map.length * 4);
	map.forEach((level, i) => {
		for (let c = 0; c < 3; c++) pixels[i * 4 + c] = VIRIDIS[level * 3 + c] as number;
		pixels[i * 4 + 3] = mode === "only" ? 255 : mode === "blend" ? level * opacity : 0;
	});
	return pixels;
}
