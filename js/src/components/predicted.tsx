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
		<p class="nw-predicted">
			{near && (
				<span
					class="nw-sign"
					title="Little more than chance"
					role="img"
					aria-label="Little more than chance"
				>
					⚠
				</span>
			)}
			<span>
				{sentence(p, neuron)}
				{p.note && <span class="nw-muted"> {p.note}.</span>}
			</span>
		</p>
	);
}
