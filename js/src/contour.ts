/**
 * Marching squares: the line where a map crosses a threshold, as an SVG path in units of cells
 * (0..width, 0..height). Values sit at cell centres; outside the map counts as zero, so that
 * regions close at the border.
 */
export function contour(
	map: ArrayLike<number>,
	width: number,
	height: number,
	threshold: number,
): string {
	const at = (x: number, y: number): number =>
		x < 0 || y < 0 || x >= width || y >= height ? 0 : (map[y * width + x] as number);
	const place = (t: number, edge: number): string =>
		Math.min(Math.max(t + 0.5, 0), edge).toFixed(2);
	let path = "";
	for (let y = -1; y < height; y++) {
		for (let x = -1; x < width; x++) {
			const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)] as const;
			const spots = [
				[x, y],
				[x + 1, y],
				[x + 1, y + 1],
				[x, y + 1],
			] as const;
			const crossings: string[] = [];
			for (let side = 0; side < 4; side++) {
				const next = (side + 1) % 4;
				const a = corners[side] as number;
				const b = corners[next] as number;
				if (a >= threshold === b >= threshold) continue;
				const t = (threshold - a) / (b - a);
				const [ax, ay] = spots[side] as readonly [number, number];
				const [bx, by] = spots[next] as readonly [number, number];
				crossings.push(`${place(ax + (bx - ax) * t, width)} ${place(ay + (by - ay) * t, height)}`);
			}
			for (let i = 0; i + 1 < crossings.length; i += 2) {
				path += `M${crossings[i]}L${crossings[i + 1]}`;
			}
		}
	}
	return path;
}
