import type { Strength } from "./store";

export type Sort = "index" | "strength";

/** The gallery's order: by number, or by the best photo's score with the dead ones last. */
export function galleryOrder(channels: number, sort: Sort, strength?: Strength): number[] {
	const order = Array.from({ length: channels }, (_, i) => i);
	if (sort === "index" || !strength) return order;
	const rank = (n: number): number =>
		strength.dead.has(n) ? Number.NEGATIVE_INFINITY : (strength.best[n] ?? 0);
	return order.sort((a, b) => {
		const [x, y] = [rank(a), rank(b)];
		return x === y ? a - b : y - x;
	});
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
