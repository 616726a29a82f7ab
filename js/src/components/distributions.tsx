import { useView } from "../view-context";

/** The distribution over each layer that was measured, one below the other. */
export function Distributions() {
	const { state } = useView();
	return (
		<>
			{[...state.predicted.value].map(([name, p]) => (
				<p key={name} class="nw-caption">
					{name} {p.summary}
					<span class="nw-chart">{p.chart}</span>
				</p>
			))}
		</>
	);
}
