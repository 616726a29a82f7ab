import { neuronName, value } from "../format";
import { neuronKey } from "../media";
import { type Choice, MAX_PINS } from "../protocol";
import { useView } from "../view-context";
import { Icon } from "./icon";
import { MapCanvas } from "./map-canvas";

const PHOTOS = 3;

/** Keeps the selected neuron in sight, to compare it with others. */
export function PinButton() {
	const { state } = useView();
	const [layer, neuron] = [state.selection.layer.value, state.selection.neuron.value];
	const pinned = state.pins.has(layer, neuron);
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
						: "Keep this neuron in sight, to compare it with others"
			}
			onClick={() => state.pins.toggle(layer, neuron)}
		>
			Pin
		</button>
	);
}

/** Pinned neurons side by side: the image and the first photos of each. */
export function Pinned() {
	const { state } = useView();
	const pins = state.pins.list.value;
	if (pins.length === 0) return null;
	return (
		<section class="nw-pins" aria-label="Pinned neurons">
			<h3 class="nw-heading">
				Pinned{" "}
				<span class="nw-muted nw-plain">
					{pins.length === 1 ? "choose another neuron and pin it, to compare" : "side by side"}
				</span>
			</h3>
			<ul class="nw-pin-list">
				{pins.map((pin) => (
					<Card key={neuronKey(pin.layer, pin.neuron)} pin={pin} />
				))}
			</ul>
		</section>
	);
}

function Card({ pin }: { pin: Choice }) {
	const { state, commands, mapMode, opacity } = useView();
	const { layer, neuron } = pin;
	const key = neuronKey(layer, neuron);
	const picture = state.media.pictures.get(key);
	const thumb = state.media.thumb(layer, neuron).value;
	const photos = state.media.photos.get(key);
	const shown = key === state.selection.key.value;
	const url = picture?.url ?? thumb?.url;
	const name = neuronName(layer, neuron);
	return (
		<li class={shown ? "nw-pin nw-pin-shown" : "nw-pin"}>
			<div class="nw-pin-head">
				<button
					type="button"
					class="nw-pin-name"
					aria-current={shown}
					title={`Show ${name}`}
					onClick={() => commands.select({ layer, neuron }, true)}
				>
					{layer} <strong>{neuron}</strong>
				</button>
				<button
					type="button"
					class="nw-pin-off"
					aria-label={`Unpin ${name}`}
					title="Unpin"
					onClick={() => state.pins.toggle(layer, neuron)}
				>
					<Icon name="close" />
				</button>
			</div>
			<div class={`nw-image-box${url && !picture ? " nw-soft" : ""}`}>
				{url ? (
					<img class="nw-image" src={url} alt={`Pinned ${name}`} />
				) : (
					<p class="nw-image-empty">Not rendered yet</p>
				)}
				{picture && picture.image.step < picture.image.steps && (
					<span class="nw-badge">{`step ${picture.image.step} of ${picture.image.steps}`}</span>
				)}
			</div>
			<p class="nw-muted nw-pin-value">
				{picture ? `activation ${value(picture.image.activation)}` : url ? "preview" : " "}
			</p>
			<div class="nw-pin-photos">
				{photos && !photos.info.dead
					? photos.most.slice(0, PHOTOS).map((shot) => (
							<span key={shot.photo.rank} class="nw-photo-box" title={shot.photo.label}>
								<img src={shot.url} alt={shot.photo.label || `photo ${shot.photo.rank + 1}`} />
								<MapCanvas
									map={shot.map}
									width={shot.photo.map_width}
									height={shot.photo.map_height}
									mode={mapMode.value}
									opacity={opacity.value}
								/>
							</span>
						))
					: Array.from({ length: PHOTOS }, (_, i) => <span key={i} class="nw-photo-empty" />)}
			</div>
			{photos?.info.dead && <p class="nw-muted nw-pin-value">dead on these photos</p>}
		</li>
	);
}
