import { count, value } from "../format";
import { useView } from "../view-context";
import { OfNeuron } from "./photos";

const W = 600;
const H = 72;

/** The scores of the neuron over the data set, with marks where the shown photos lie. */
export function Histogram() {
	const { state } = useView();
	const set = state.media.photos(state.selection.target.value);
	const info = set?.info;
	// Empty while the photos are looked up, so that nothing jumps.
	if (info ? info.dead : !state.strength.value || state.isDead(state.selection.neuron.value))
		return null;
	const { counts, edges } = info?.histogram ?? { counts: [], edges: [] };
	const [from, to] = [edges[0] ?? 0, edges.at(-1) ?? 1];
	const top = Math.max(...counts, 1);
	if (info && !(counts.length && to > from)) return null;
	const x = (v: number): number => ((v - from) / (to - from)) * W;
	// Most photos lie near zero: on a plain scale the tail, which matters, would not be seen.
	const y = (n: number): number => Math.sqrt(n / top) * (H - 4);
	return (
		<section class="nw-histogram" aria-label="Histogram">
			<h3 class="nw-heading">
				All photos <OfNeuron />{" "}
				<span class="nw-muted nw-plain">
					{info && `mean ${value(info.mean)}, std ${value(info.std)}`}
				</span>
			</h3>
			<svg viewBox={`0 0 ${W} ${H + 10}`} preserveAspectRatio="none" role="img">
				<title>
					{`Scores of ${count(info?.scanned ?? 0)} photos from ${value(from)} to ${value(to)}`}
				</title>
				{counts.map((n, i) => {
					const [a, b] = [x(edges[i] as number), x(edges[i + 1] as number)];
					return (
						<rect
							key={i}
							class="nw-bar"
							x={a + 0.5}
							y={H - y(n)}
							width={Math.max(b - a - 1, 1)}
							height={y(n)}
						/>
					);
				})}
				<path class="nw-axis" d={`M0 ${H}H${W}`} vector-effect="non-scaling-stroke" />
				{[...(set?.least ?? []), ...(set?.most ?? [])].map((shot, i) => (
					<path
						key={i}
						class={i < (set?.least.length ?? 0) ? "nw-tick nw-tick-least" : "nw-tick nw-tick-most"}
						d={`M${x(shot.photo.score).toFixed(1)} ${H + 1}v9`}
						vector-effect="non-scaling-stroke"
					/>
				))}
			</svg>
			<div class="nw-histogram-ends nw-muted">
				<span>{info && value(from)}</span>
				<span class="nw-caption">
					score of a photo; height is the square root of the count; ticks are the photos shown
				</span>
				<span>{info && value(to)}</span>
			</div>
		</section>
	);
}
