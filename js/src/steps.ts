/** The steps slider is logarithmic and stops at sensible values; the number box takes any. */

export const MIN_STEPS = 16;
export const MAX_STEPS = 2048;
export const STEP_STOPS: readonly number[] = [
	16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
];

/** The slider position nearest to a number of steps, measured on the log scale. */
export function stopOf(steps: number): number {
	let best = 0;
	STEP_STOPS.forEach((stop, i) => {
		const distance = Math.abs(Math.log(steps / stop));
		if (distance < Math.abs(Math.log(steps / (STEP_STOPS[best] as number)))) best = i;
	});
	return best;
}

/** The number of steps at a slider position. */
export function stepsAt(position: number): number {
	const last = STEP_STOPS.length - 1;
	return STEP_STOPS[clamp(Math.round(position), 0, last)] as number;
}

export function clamp(value: number, low: number, high: number): number {
	return Math.min(Math.max(value, low), high);
}
