import { MAX_PINS } from "../protocol";
import { wordOf } from "../target";
import { useView } from "../view-context";

/** Keeps what is selected in sight, to compare it with others. */
export function PinButton() {
	const { state } = useView();
	const target = state.selection.target.value;
	const pinned = state.pins.has(target);
	const full = !pinned && state.pins.full;
	return (
		<button
			type="button"
			class="nw-button nw-small"
			aria-pressed={pinned}
			aria-disabled={full}
			title={
				full
					? `${MAX_PINS} neurons are pinned: take one away first`
					: pinned
						? "Take it away from the pinned neurons"
						: `Keep this ${wordOf(target, state.layerOf(target))} in sight, to compare it with others`
			}
			onClick={() => state.pins.toggle(target)}
		>
			Pin
		</button>
	);
}
