import { value } from "../format";
import type { Target } from "../protocol";
import {
	channelOf,
	isWhole,
	layerBefore,
	nameOf,
	numberOf,
	partsOf,
	targetKey,
	titleOf,
} from "../target";
import { useView } from "../view-context";
import { Between } from "./between";
import { Icon } from "./icon";
import { MapCanvas } from "./map-canvas";

const PHOTOS = 3;

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
					<Card key={targetKey(pin)} pin={pin} />
				))}
			</ul>
			{pins.length > 1 && !state.saved && <Between pins={pins} />}
		</section>
	);
}

function Card({ pin }: { pin: Target }) {
	const { state, commands, mapMode, opacity } = useView();
	const channel = channelOf(pin);
	const picture = state.media.picture(pin);
	const thumb = state.media.preview(pin);
	const photos = state.media.photos(pin);
	const soFar = !!photos && state.soFar(photos.info);
	const shown = targetKey(pin) === state.selection.key.value;
	const url = picture?.url ?? thumb?.url;
	const info = state.layerOf(pin);
	const name = nameOf(pin, info);
	return (
		<li class={shown ? "nw-pin nw-pin-shown" : "nw-pin"}>
			<div class="nw-pin-head">
				<button
					type="button"
					class="nw-pin-name"
					aria-current={shown}
					title={`Show ${name}`}
					onClick={() => commands.select({ target: pin }, true)}
				>
					<span class="nw-pin-layer">{layerBefore(pin)}</span>
					{partsOf(pin, info).map(([word, text], i) => (
						<span key={word}>
							{" "}
							{i > 0 && word} <strong>{text}</strong>
						</span>
					))}
				</button>
				<button
					type="button"
					class="nw-pin-off"
					aria-label={`Unpin ${name}`}
					title="Unpin"
					onClick={() => state.pins.toggle(pin)}
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
				{picture
					? `${numberOf(pin, info)} ${value(picture.image.activation)}`
					: url
						? "preview"
						: " "}
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
									signed={info?.signed}
								/>
							</span>
						))
					: Array.from({ length: PHOTOS }, (_, i) => <span key={i} class="nw-photo-empty" />)}
			</div>
			{!isWhole(pin) && <p class="nw-muted nw-pin-value">photos of {titleOf(channel, info)}</p>}
			{soFar && <p class="nw-muted nw-pin-value">photos so far</p>}
			{photos?.info.dead && !soFar && <p class="nw-muted nw-pin-value">dead on these photos</p>}
		</li>
	);
}
