import { sentence } from "../predicted";
import { channelOf } from "../target";
import { useView } from "../view-context";

/** How far pictures predict the selected neuron: one line, and a sign where the image does not. */
export function PredictedLine() {
	const { state } = useView();
	const target = state.selection.target.value;
	const p = state.predicted.value.get(target.layer);
	if (!p) return null;
	const { neuron } = channelOf(target);
	const near = p.near.includes(neuron);
	return (
		<p class="nw-predicted" title={p.summary}>
			{near && (
				<span class="nw-sign" role="img" aria-label="The image alone tells little">
					⚠
				</span>
			)}
			<span>
				{sentence(p, neuron)}
				{near && " That is little more than chance."}
				{p.note && <span class="nw-muted"> {p.note}.</span>}
			</span>
		</p>
	);
}

/** The distribution over each layer that was measured, one below the other. */
export function Distributions() {
	const { state } = useView();
	const layer = state.selection.layer.value;
	const all = [...state.predicted.value].sort(
		([a], [b]) => Number(b === layer) - Number(a === layer),
	);
	if (!all.length) return null;
	return (
		<section class="nw-distributions" aria-label="How far pictures predict neurons">
			{all.map(([name, p]) => {
				const { bins } = p;
				const top = Math.max(...bins, 1);
				return (
					<figure key={name} class="nw-distribution">
						<figcaption>
							{name} <span class="nw-muted">{p.summary}</span>
						</figcaption>
						{!p.reason && (
							<svg viewBox="0 0 220 34" preserveAspectRatio="none" role="img">
								<title>{`Neurons below 50 %, then in steps of 5 %: ${bins.join(", ")}`}</title>
								{bins.map((n, i) => (
									<rect
										key={i}
										class="nw-bar"
										x={i * 20 + 1}
										y={34 - (32 * n) / top}
										width={18}
										height={(32 * n) / top}
									/>
								))}
								<path class="nw-axis" d="M0 34H220M20 0V34" vector-effect="non-scaling-stroke" />
							</svg>
						)}
					</figure>
				);
			})}
		</section>
	);
}
