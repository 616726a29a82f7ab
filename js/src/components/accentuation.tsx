import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { value } from "../format";
import type { PhotoName } from "../protocol";
import { samePhoto } from "../strips";
import { sameTarget, titleOf } from "../target";
import { useView } from "../view-context";
import { ErrorPanel } from "./error-panel";
import { ProgressRow } from "./progress-row";

/**
 * What a photo would need to fire what is selected more. `url` is what is shown in the photo's place,
 * if that is not the photo itself; `row` has the button, and then the slider between the two.
 */
export function useAccentuation(photo: PhotoName): { url: string | undefined; row: JSX.Element } {
	const { state, commands, name } = useView();
	const [place, move] = useState(99);
	const target = state.selection.target.value;
	const what = titleOf(target, state.layerInfo.value);
	const strip = state.strips.of("accentuation", [target], photo);
	const task = state.tasks.accentuation;
	const now = task.progress.value;
	const ours = !!strip || samePhoto(state.strips.asked.value, photo);
	const p = ours && sameTarget(now?.target, target) && now?.state !== "done" ? now : null;
	const off = task.busy.value || state.gone.value;
	const forms = strip?.info.index !== undefined;
	const last = (strip?.urls.length ?? 1) - 1;
	const at = Math.min(place, last);
	return {
		url: forms || at ? strip?.urls[at] : undefined,
		row: (
			<div class="nw-accentuation">
				{strip && !forms ? (
					<Slider at={at} last={last} move={move} photo={photo} />
				) : (
					!p && (
						<div class="nw-row">
							<button
								type="button"
								class="nw-button nw-small nw-narrow"
								aria-disabled={off}
								title={`What this photo would need to fire ${what} more`}
								aria-describedby={`${name}-from-photo`}
								onClick={() => {
									if (off) return;
									move(99);
									commands.accentuate(photo);
								}}
							>
								From this photo
							</button>
							<span class="nw-caption" id={`${name}-from-photo`}>
								what it would need to fire {what} more
							</span>
						</div>
					)
				)}
				{p && <ProgressRow task="accentuation" p={p} />}
				{p?.state === "failed" && <ErrorPanel where="render" />}
			</div>
		),
	};
}

/** From the photo to the picture, through what it was on the way. */
function Slider(props: { at: number; last: number; move: (at: number) => void; photo: PhotoName }) {
	const { at, last, move, photo } = props;
	const { state, name } = useView();
	const strip = state.strips.of("accentuation", [state.selection.target.value], photo);
	if (!strip) return null;
	const { activation, at: steps, steps: all, expression } = strip.info;
	const worth = activation[0] ?? [];
	const [before = 0, here = 0] = [worth[0], worth[at]];
	const ratio = before > 0 && at > 0 ? ` · ${value(here / before)}× the photo’s` : "";
	return (
		<>
			<label class="nw-blend">
				<span>photo</span>
				<input
					id={`${name}-accentuation`}
					class="nw-range"
					type="range"
					aria-label="From the photo to the picture"
					aria-valuetext={at ? `after ${steps[at]} of ${all} steps` : "the photo"}
					min={0}
					max={last}
					step={1}
					value={at}
					style={{ "--nw-fill": `${(100 * at) / last}%` }}
					onInput={(e) => move(e.currentTarget.valueAsNumber)}
				/>
				<span>picture</span>
			</label>
			<p role="status">
				{at ? `After ${steps[at]} of ${all} steps` : "The photo"}: activation {value(here)}
				{ratio}
			</p>
			<p class="nw-caption">
				It maximises <code>{expression}</code>, which holds it near the photo. It is in no store.
			</p>
		</>
	);
}
