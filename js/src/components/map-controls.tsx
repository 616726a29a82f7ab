import { useView } from "../view-context";
import type { MapMode } from "../viridis";

const MODES: readonly MapMode[] = ["off", "blend", "only"];

/** How activation maps lie over the photos: off, blend or only, and how strong. */
export function MapControls({ group }: { group: string }) {
	const { state, mapMode, opacity, name } = useView();
	// A map of one position is not drawn.
	if (state.layerInfo.value?.width === 1) return null;
	return (
		<div class="nw-map-controls">
			<div class="nw-radios" role="radiogroup" aria-label="Activation map">
				<span class="nw-label" aria-hidden="true">
					Activation map
				</span>
				{MODES.map((mode) => (
					<label key={mode} class="nw-radio">
						<input
							type="radio"
							name={`${name}-${group}`}
							checked={mapMode.value === mode}
							onChange={() => {
								mapMode.value = mode;
							}}
						/>
						<span>{mode}</span>
					</label>
				))}
			</div>
			<label class="nw-opacity">
				<span class="nw-label">Opacity</span>
				<input
					class="nw-range"
					type="range"
					min={0.1}
					max={1}
					step={0.05}
					value={opacity.value}
					disabled={mapMode.value !== "blend"}
					aria-valuetext={`${Math.round(opacity.value * 100)} %`}
					style={{ "--nw-fill": `${((opacity.value - 0.1) / 0.9) * 100}%` }}
					onInput={(e) => {
						opacity.value = e.currentTarget.valueAsNumber;
					}}
				/>
			</label>
		</div>
	);
}
