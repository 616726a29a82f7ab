import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import type { Place } from "../protocol";
import { channelTarget, titleOf } from "../target";
import { useView } from "../view-context";
import { useAccentuation } from "./accentuation";
import { Answers } from "./answers";
import { ErrorPanel } from "./error-panel";
import { MapCanvas } from "./map-canvas";
import { MapControls } from "./map-controls";

/** A photo that the person brings: who fires on it, where, and what would change without them. */
export function YourPhoto() {
	const { looking, selection } = useView().state;
	const coming = looking.coming.value;
	const shown = looking.photo.value?.layer === selection.layer.value;
	return (
		<section class="nw-photos" aria-label="Your photo">
			<ErrorPanel where="photo" />
			{coming ? (
				<p class="nw-muted" role="status">
					Looking at {coming}
				</p>
			) : shown ? (
				<Shown />
			) : (
				<div class="nw-drop">
					Drop a photo anywhere on the widget, paste one, or
					<label class="nw-button nw-small">
						Choose a photo
						<input
							type="file"
							class="nw-unseen"
							accept="image/*"
							onChange={({ currentTarget: { files } }) =>
								files?.[0] && void looking.bring(files[0])
							}
						/>
					</label>
					<p class="nw-muted">
						Up to 50 MB. It stays in the kernel’s memory: not in the store, an exported page or the
						saved notebook.
					</p>
				</div>
			)}
		</section>
	);
}

function Shown() {
	const { state, hovered, mapMode, opacity } = useView();
	const { looking, selection } = state;
	const photo = looking.photo.value as NonNullable<typeof looking.photo.value>;
	const { map_height: h, map_width: w, look } = photo;
	const pointed = useSignal<{ look: number; at: number[] } | null>(null);
	const at = pointed.value?.look === look ? pointed.value.at : null;
	const neuron = hovered.value < 0 ? selection.neuron.value : hovered.value;
	const made = useAccentuation({ of: "brought", number: look });
	const map = made.url ? undefined : looking.maps.value.get(neuron);
	const point = (...place: number[]): void => {
		const inside = place.map((x, i) => Math.min(Math.max(Math.floor(x), 0), (i ? w : h) - 1));
		pointed.value = { look, at: inside };
		looking.point(inside);
	};
	const leave = (): void => {
		pointed.value = null;
	};
	useLayoutEffect(() => looking.show(photo.layer, neuron), [look, neuron]);

	const onKeyDown = (e: KeyboardEvent): void => {
		const [row = h / 2, column = w / 2] = at ?? [];
		const move = ["Up", "Left", "Down", "Right"].indexOf(e.key.replace("Arrow", ""));
		const by = move < 2 ? -1 : 1;
		if (move >= 0) point(move % 2 ? row : row + by, move % 2 ? column + by : column);
		else if (e.key === "Escape" && at) leave();
		else return;
		e.preventDefault();
		e.stopPropagation();
	};
	const place = at ? looking.place.value : looking.whole.value;
	const box = at && { x: at[1], y: at[0], width: 1, height: 1 };
	return (
		<>
			<div class="nw-photos-head">
				<h3 class="nw-heading nw-filename">{photo.name}</h3>
				<MapControls group="yours" />
			</div>
			<div class="nw-yours">
				<div class="nw-large-side">
					<div
						class="nw-large-box nw-point"
						role="application"
						aria-label={`${photo.name}: arrow keys point at one of ${h} by ${w} positions`}
						// biome-ignore lint/a11y/noNoninteractiveTabindex: its positions are chosen by keys
						tabIndex={0}
						onKeyDown={onKeyDown}
						onClick={(e) => {
							const { left, top, width, height } = e.currentTarget.getBoundingClientRect();
							point(((e.clientY - top) / height) * h, ((e.clientX - left) / width) * w);
						}}
					>
						<img src={made.url ?? photo.url} alt="" />
						{map && (
							<MapCanvas
								map={map}
								width={w}
								height={h}
								mode={mapMode.value}
								opacity={opacity.value}
								signed={state.layerOf(photo)?.signed}
							/>
						)}
						{box && (
							<svg class="nw-marks" viewBox={`0 0 ${w} ${h}`} aria-hidden="true">
								<rect class="nw-mark-under" {...box} />
								<rect class="nw-mark-line" {...box} />
							</svg>
						)}
					</div>
					{!made.url && (
						<p class="nw-caption">
							Map of {titleOf(channelTarget(photo.layer, neuron), state.layerOf(photo))},{" "}
							{photo.unit} {photo.worth[neuron]}
						</p>
					)}
					{made.row}
					<button
						type="button"
						class="nw-button nw-small nw-narrow"
						onClick={() => looking.ask({ kind: "put_away" })}
					>
						Put it away
					</button>
				</div>
				<Answers />
			</div>
			{place && <Firing place={place} />}
			<p class="nw-caption">{place?.note}</p>
			{box && (
				<button type="button" class="nw-button nw-small nw-narrow" onClick={leave}>
					Whole photo
				</button>
			)}
		</>
	);
}

/** The neurons that fire most, on all of the photo or at the place pointed at. */
function Firing({ place }: { place: Place }) {
	const { state, commands, hovered } = useView();
	const { media, selection } = state;
	return (
		<div class="nw-strip-block">
			<p class="nw-subheading" role="status">
				{place.title}
			</p>
			<div class="nw-firing">
				{place.neurons.map((neuron, i) => {
					const thumb = media.thumb(selection.layer.value, neuron).value;
					const hover = (n: number) => (): void => {
						hovered.value = n;
					};
					return (
						<button
							key={neuron}
							type="button"
							class="nw-photo"
							aria-pressed={selection.neuron.value === neuron}
							onMouseEnter={hover(neuron)}
							onFocus={hover(neuron)}
							onMouseLeave={hover(-1)}
							onBlur={hover(-1)}
							onClick={() => commands.select({ neuron }, true)}
						>
							<span class="nw-photo-box">{thumb && <img src={thumb.url} alt="" />}</span>
							<span class="nw-photo-score">
								<span class="nw-unseen">neuron </span>
								{state.layerInfo.value?.names?.[neuron] || neuron}
							</span>
							<span class="nw-photo-label">{place.worth[i]}</span>
						</button>
					);
				})}
			</div>
		</div>
	);
}
