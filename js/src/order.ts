import type { Predicted } from "./protocol";
import type { Strength } from "./strength";

export type Sort = "index" | "strength" | "alive" | "predicted" | "photo";

/**
 * The gallery's order: by number, by the best photo's score, by number with the dead ones last, by
 * how far photos predict a neuron (those without a number last), or by how unusual the photo is
 * that was brought (`photo`).
 */
export function galleryOrder(
	channels: number,
	sort: Sort,
	strength?: Strength,
	photo?: number[],
	predicted?: Predicted,
): number[] {
	if (sort === "photo" && photo) return photo;
	const order = Array.from({ length: channels }, (_, i) => i);
	if (sort === "predicted") {
		const known = (n: number): number => predicted?.photos[n] ?? -1;
		return order.sort((a, b) => known(b) - known(a) || a - b);
	}
	if (sort === "index" || sort === "photo" || !strength) return order;
	const rank = (n: number): number => {
		if (strength.dead.has(n)) return Number.NEGATIVE_INFINITY;
		return sort === "alive" ? 0 : (strength.best[n] ?? 0);
	};
	return order.sort((a, b) => {
		const [x, y] = [rank(a), rank(b)];
		return x === y ? a - b : y - x;
	});
}

/**
 * Which neurons a filter lets through: numbers and ranges ("68", "10-20, 68"), or words that the
 * classes of a neuron's best photos or its own name hold ("dog"). Null for an empty filter: all.
 */
export function parseFilter(
	text: string,
	strength?: Strength,
	names?: string[],
): ((neuron: number) => boolean) | null {
	const words = text
		.toLowerCase()
		.split(",")
		.map((word) => word.trim())
		.filter(Boolean);
	if (words.length === 0) return null;
	const tests = words.map((word): ((neuron: number) => boolean) => {
		const range = /^(\d+)(?:\s*(?:-|–|\.\.)\s*(\d*))?$/.exec(word);
		if (range) {
			const from = Number(range[1]);
			// "10-" while it is being typed is 10 and all that follow.
			const to = range[2] === undefined ? from : range[2] ? Number(range[2]) : Infinity;
			return (n) => n >= Math.min(from, to) && n <= Math.max(from, to);
		}
		const found = new Set<number>();
		strength?.labels.forEach((label, i) => {
			if (label.toLowerCase().includes(word)) found.add(i);
		});
		return (n) =>
			names
				? !!names[n]?.toLowerCase().includes(word)
				: (strength?.top[n]?.some((i) => found.has(i)) ?? false);
	});
	return (n) => tests.some((test) => test(n));
}

/** The place a key moves to in a grid, or -1 for another key. */
export function moveInGrid(
	key: string,
	place: number,
	total: number,
	columns: number,
	rows: number,
): number {
	const last = total - 1;
	const page = Math.max(1, rows) * columns;
	switch (key) {
		case "ArrowRight":
			return Math.min(place + 1, last);
		case "ArrowLeft":
			return Math.max(place - 1, 0);
		case "ArrowDown":
			return place + columns <= last ? place + columns : place;
		case "ArrowUp":
			return place - columns >= 0 ? place - columns : place;
		case "PageDown":
			return Math.min(place + page, last);
		case "PageUp":
			return Math.max(place - page, 0);
		case "Home":
			return 0;
		case "End":
			return last;
		default:
			return -1;
	}
}

/** The first and one past the last place that can be seen in a scrolled grid. */
export function placesInView(
	scrollTop: number,
	height: number,
	pitch: number,
	columns: number,
	total: number,
): [number, number] {
	const first = Math.max(0, Math.floor(scrollTop / pitch)) * columns;
	const end = Math.ceil((scrollTop + height) / pitch) * columns;
	return [Math.min(first, total), Math.min(end, total)];
}
