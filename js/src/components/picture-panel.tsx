import { useComputed } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { duration, plural, value } from "../format";
import type { Picture } from "../media";
import type { Frame } from "../protocol";
import { describe } from "../render-settings";
import {
	channelOf,
	isWhole,
	layerBefore,
	nameOf,
	noteOf,
	numberOf,
	partsOf,
	wayBack,
	wordOf,
} from "../target";
import { useView } from "../view-context";
import { Curve } from "./curve";
import { LivePicture } from "./live-picture";
import { PinButton } from "./pins";
import { PredictedLine } from "./predicted";

/** The image that the neuron, or a unit of it, wants to see; and what is known of it. */
export function PicturePanel() {
	const { state } = useView();
	const target = state.selection.target.value;
	const picture = state.media.picture(target);
	const frame = state.forming.value;
	return (
		<section class="nw-picture" aria-label="Synthetic image">
			<figure class="nw-figure">
				<Canvas picture={picture} />
			</figure>
			<div class="nw-readings">
				<div class="nw-title-row">
					<h3 class="nw-heading nw-neuron-title">
						{layerBefore(target)}
						{partsOf(target, state.layerInfo.value).map(([word, text], i, all) => [
							" ",
							<span key={word}>
								<span class="nw-muted">{word}</span> {text}
								{i + 1 < all.length && ","}
							</span>,
						])}
					</h3>
					<PinButton />
				</div>
				{!isWhole(target) && <PartNote />}
				<PredictedLine />
				{frame ? (
					<Forming frame={frame} />
				) : picture ? (
					<Readings picture={picture} />
				) : (
					<p class="nw-muted">
						{state.saved
							? `No finished image of this ${wordOf(target, state.layerInfo.value)} was saved.`
							: "The readings come with the finished image."}
					</p>
				)}
			</div>
		</section>
	);
}

/** What of the neuron is meant, and the way to all of it. */
function PartNote() {
	const { state, commands } = useView();
	const { target, channel } = state.selection;
	return (
		<p class="nw-muted nw-part">
			{noteOf(target.value)}{" "}
			<button
				type="button"
				class="nw-button nw-small"
				onClick={() => commands.select({ target: channel.value }, true)}
			>
				{wayBack(target.value, state.layerInfo.value)}
			</button>
		</p>
	);
}

/** The picture: a preview, then its moving frames, then the finished image. */
function Canvas({ picture }: { picture: Picture | undefined }) {
	const { state, faded } = useView();
	const target = state.selection.target.value;
	const key = state.selection.key.value;
	// Of the step only what stays: the frames themselves draw nothing of this anew.
	const forming = useComputed(() => state.forming.value !== null).value;
	const thumb = state.media.preview(target);
	const rendering = state.rendering.value;
	const dead = state.isDead(state.selection.neuron.value);
	const url = picture?.url ?? thumb?.url;
	// The last frame stays until the finished image behind it is there.
	const still = useRef<HTMLImageElement>(null);
	const [coveredOf, cover] = useState("");
	const covered = forming || coveredOf === key;
	const uncover = (): void => {
		if (!forming) cover("");
	};
	useLayoutEffect(() => {
		if (forming) cover(key);
		else if (still.current?.complete ?? true) cover("");
	}, [forming, key]);
	const alpha = faded.value && !covered ? picture?.alpha : undefined;
	let caption = "";
	if (forming) caption = rendering ? "forming" : `left at step ${state.forming.value?.step}`;
	else if (picture && picture.image.step < picture.image.steps)
		caption = `stopped at step ${picture.image.step} of ${picture.image.steps}`;
	else if (!picture && thumb) caption = thumb.finished ? "small copy" : "preview";
	return (
		<div
			class={`nw-image-box${url && !forming && !picture ? " nw-soft" : ""}${alpha ? " nw-faded" : ""}`}
		>
			{url && (
				<img
					ref={still}
					class="nw-image"
					style={alpha && { maskImage: `url("${alpha}")` }}
					src={url}
					alt={covered ? "" : nameOf(target, state.layerInfo.value)}
					decoding="sync"
					onLoad={uncover}
					onError={uncover}
				/>
			)}
			{covered ? (
				<LivePicture name={nameOf(target, state.layerInfo.value)} />
			) : url ? null : (
				<p class="nw-image-empty">
					{rendering
						? "Rendering: the image appears here"
						: dead
							? "Dead: this neuron never fires on these photos, so there may be nothing to see"
							: "Not rendered yet"}
				</p>
			)}
			{caption && <span class="nw-badge">{caption}</span>}
		</div>
	);
}

/** What is known while the image forms. */
function Forming({ frame }: { frame: Frame }) {
	const { state } = useView();
	const path = state.drawnCurve.value;
	const last = path.at(-1);
	return (
		<>
			{last && (
				<p class="nw-activation">
					<span class="nw-big">{value(last[1] as number)}</span>
					<span>
						{numberOf(frame.target)} <span class="nw-muted">now, on augmented images</span>
					</span>
				</p>
			)}
			<Curve history={path} until={frame.steps} />
			<p class="nw-muted">
				Step {frame.step} of {frame.steps}. Colour, contrast and the activation on the clean image
				come with the finished image.
			</p>
		</>
	);
}

function Readings({ picture }: { picture: Picture }) {
	const { state } = useView();
	const { image } = picture;
	const best = state.strength.value?.best[channelOf(image.target).neuron] ?? null;
	const ratio = image.comparable && best !== null && best > 0 ? image.activation / best : null;
	const [r, g, b] = image.look.mean_rgb.map((c) => Math.round(c)) as [number, number, number];
	return (
		<>
			<p class="nw-activation">
				<span class="nw-big">{value(image.activation)}</span>
				<span>
					{numberOf(image.target, state.layerInfo.value)}
					<span class="nw-muted">
						{ratio !== null ? ` · ${value(ratio)}× the best photo` : " on the clean image"}
					</span>
				</span>
			</p>
			{image.note && <p class="nw-note nw-note-picture">{image.note}</p>}
			<Curve history={image.history} />
			<dl class="nw-facts">
				<div>
					<dt>Mean colour</dt>
					<dd>
						<span
							class="nw-swatch"
							style={{ background: `rgb(${r} ${g} ${b})` }}
							aria-hidden="true"
						/>
						{r}, {g}, {b}
					</dd>
				</div>
				<div>
					<dt>Contrast (std)</dt>
					<dd>{image.look.std_rgb.map((s) => Math.round(s)).join(", ")}</dd>
				</div>
				{image.look.patterns.length > 0 && (
					<div>
						<dt>Pattern</dt>
						<dd>
							{image.look.patterns.map((pattern) => (
								<span key={pattern} class="nw-tag">
									{pattern}
								</span>
							))}
						</dd>
					</div>
				)}
			</dl>
			<p class="nw-muted nw-settings">
				{describe(image.settings, state.renderSettings.usual.value).map((part) => `${part} · `)}
				{plural(image.step, "step")}
				{image.packaged ? (
					<>
						{" · "}
						<span title="Rendered beforehand and stored small; Render makes it here, live">
							came with the package
						</span>
					</>
				) : (
					` in ${duration(image.seconds)}`
				)}
			</p>
		</>
	);
}
