import { count } from "../format";
import { distribution, median, sentence, share } from "../predicted";
import { channelOf } from "../target";
import { useView } from "../view-context";

/** How far pictures predict the selected neuron: one line, and a sign where the image does not. */
export function PredictedLine() {
	const { state } = useView();
	const target = state.selection.target.value;
	const p = state.predicted.value.get(target.layer);
	if (!p) return null;
	const { neuron } = channelOf(target);
	const near = p.image[neuron] !== null && p.near.has(neuron);
	return (
		<p
			class={`nw-predicted${near ? " nw-predicted-near" : ""}`}
			title={`Asked: ${p.observer}, ${count(p.pairs)} pairs a neuron; chance is 50 %`}
		>
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
	const { state, commands } = useView();
	const layer = state.selection.layer.value;
	const all = [...state.predicted.value].sort(
		([a], [b]) => Number(b === layer) - Number(a === layer),
	);
	const known = state.predicted.value.has(layer);
	const busy = state.tasks.measure.busy.value;
	if (state.saved && all.length === 0) return null;
	const scanned = !!state.strength.value;
	return (
		<section class="nw-distributions" aria-label="How far pictures predict neurons">
			<p class="nw-label">How far do pictures predict these neurons?</p>
			{all.map(([name, p]) => {
				const bins = distribution(p.photos);
				const middle = median(p.photos);
				const top = Math.max(...bins, 1);
				return (
					<figure key={name} class="nw-distribution">
						<figcaption>
							<strong>{name}</strong>{" "}
							<span class="nw-muted">
								{middle === null
									? p.reason || "no neuron has a number"
									: `median ${share(middle)} right from photos, ${p.observer}`}
							</span>
						</figcaption>
						{middle !== null && (
							<svg viewBox="0 0 220 36" preserveAspectRatio="none" role="img">
								<title>
									{`Neurons of ${name} by share of right answers: ${bins[0]} below 50 %, then in steps of 5 % up to 100 %: ${bins.slice(1).join(", ")}`}
								</title>
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
								<path class="nw-axis" d="M0 34H220M20 0V36" vector-effect="non-scaling-stroke" />
							</svg>
						)}
						{middle !== null && (
							<div class="nw-histogram-ends nw-muted">
								<span>chance</span>
								<span>100 %</span>
							</div>
						)}
					</figure>
				);
			})}
			{!known && !state.saved && (
				<button
					type="button"
					class="nw-button"
					aria-disabled={!scanned || busy || state.gone.value}
					onClick={() => {
						if (scanned && !busy && !state.gone.value) commands.measure();
					}}
				>
					{busy ? "Measuring" : `Measure ${layer}`}
				</button>
			)}
			{!known && !state.saved && (
				<p class="nw-muted">
					{scanned
						? "A machine is shown a neuron's photos and asked which of two new ones fires it more."
						: "When the photos are scanned: a machine is asked about new ones."}
				</p>
			)}
		</section>
	);
}
