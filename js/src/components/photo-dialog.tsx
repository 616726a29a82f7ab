import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { contour } from "../contour";
import { value } from "../format";
import type { LargeShot, Shot } from "../media";
import { nameOf } from "../target";
import { type OpenPhoto, useView } from "../view-context";
import { useAccentuation } from "./accentuation";
import { IconButton } from "./icon";
import { MapCanvas } from "./map-canvas";
import { MapControls } from "./map-controls";
import { GROUP_NAMES } from "./photos";

/** How far a finger goes to the side that means the next photo, or the one before. */
const SWIPE_PX = 40;

/**
 * One photo, large. It lies inside the root rather than in the browser's top layer: in hosts that
 * put an output into one tall frame the top layer's middle may be far from what is in sight.
 */
export function PhotoDialog() {
	const { open, state } = useView();
	const place = open.value;
	const set = state.media.photos(state.selection.target.value);
	if (!place) return null;
	const shots = set?.[place.group] ?? [];
	// A scan that goes on may have moved it, or found better ones.
	const shot =
		shots.find((s) => s.photo.index === place.index) ??
		shots.find((s) => s.photo.rank === place.rank);
	return <Dialog key="dialog" shot={shot} shots={[...(set?.most ?? []), ...(set?.least ?? [])]} />;
}

function Dialog({ shot, shots }: { shot: Shot | undefined; shots: Shot[] }) {
	const { open, root, state, commands, mapMode, opacity } = useView();
	const box = useRef<HTMLDivElement>(null);
	const finger = useRef(Number.NaN);
	const now = open.value as OpenPhoto;
	const set = state.media.photos(state.selection.target.value);
	const at = shot ? shots.indexOf(shot) : -1;
	const ahead = set?.most.length ?? 0;
	const place = at - (now.group === "most" ? 0 : ahead) + 1;
	const rank = shot?.photo.rank ?? now.rank;
	const large = state.largeShot(now.group, rank);
	const signed = state.layerInfo.value?.signed;
	const made = useAccentuation({ of: "dataset", number: shot?.photo.index ?? -1 });

	const close = (): void => {
		open.value = null;
	};
	const go = (to: number): void => {
		const next = shots[to];
		if (!next) return;
		const group = to < ahead ? "most" : "least";
		open.value = { ...now, group, rank: next.photo.rank, index: next.photo.index };
	};

	useLayoutEffect(() => {
		const dialog = box.current;
		if (!dialog) return;
		const { from } = now;
		dialog.style.setProperty("--nw-sight", `${heightInSight(root)}px`);
		const top = from.getBoundingClientRect().top - root.getBoundingClientRect().top;
		const room = Math.max(0, root.clientHeight - dialog.offsetHeight - 8);
		dialog.style.top = `${Math.min(Math.max(8, top - dialog.offsetHeight / 2), room)}px`;
		dialog.focus({ preventScroll: true });
		dialog.scrollIntoView?.({ block: "nearest" });
		// The page behind is inert until the next drawing, and an inert element takes no focus.
		return () => void setTimeout(() => from.focus({ preventScroll: true }));
	}, [root]);

	useEffect(() => {
		if (!shot) close();
	}, [shot]);

	useEffect(() => {
		if (!shot) return;
		commands.enlarge(now.group, rank);
		const { index } = shot.photo;
		// Not where the person has gone on meanwhile: the two would take turns for ever.
		if (open.peek() === now && (now.rank !== rank || now.index !== index))
			open.value = { ...now, rank, index };
	}, [now.group, rank, shot?.photo.index]);

	// Escape closes it wherever the focus is by now, and from the first moment.
	useLayoutEffect(() => {
		const onKey = (e: KeyboardEvent): void => {
			if (e.key === "Escape") close();
		};
		const home = root.ownerDocument;
		home.addEventListener("keydown", onKey, true);
		return () => home.removeEventListener("keydown", onKey, true);
	}, [root]);
	if (!shot) return null;

	const onKeyDown = (e: KeyboardEvent): void => {
		const target = e.target as HTMLElement;
		const usesArrows = target.matches("input");
		if (e.key === "Escape") close();
		else if (!usesArrows && e.key === "ArrowRight") go(at + 1);
		else if (!usesArrows && e.key === "ArrowLeft") go(at - 1);
		else if (e.key === "Tab") keepInside(e, box.current as HTMLElement);
		else return;
		e.stopPropagation();
		if (e.key !== "Tab") e.preventDefault();
	};

	return (
		<div class="nw-veil">
			{/* biome-ignore lint/a11y/noStaticElementInteractions: a click beside the dialog closes it, as Escape and the button do */}
			<div class="nw-veil-back" onMouseDown={close} />
			<div
				ref={box}
				class="nw-dialog"
				role="dialog"
				aria-modal="true"
				aria-label={`${GROUP_NAMES[now.group]} ${place}`}
				tabIndex={-1}
				onKeyDown={onKeyDown}
			>
				<div class="nw-dialog-bar">
					<strong>
						{GROUP_NAMES[now.group]} · {place}
						<span class="nw-muted nw-plain">
							{" "}
							of {nameOf(state.selection.channel.value, state.layerInfo.value)}
						</span>
					</strong>
					<span class="nw-spring" />
					<IconButton
						name="Previous photo"
						icon="previous"
						off={at <= 0}
						onClick={() => go(at - 1)}
					/>
					<IconButton
						name="Next photo"
						icon="next"
						off={at >= shots.length - 1}
						onClick={() => go(at + 1)}
					/>
					<IconButton name="Close" icon="close" onClick={close} />
				</div>
				<div class="nw-dialog-body">
					<div class="nw-large-side">
						{/* What a finger does here, the buttons above do too. */}
						<div
							class="nw-large-box"
							onPointerDown={(e) => {
								finger.current = e.pointerType === "touch" ? e.clientX : Number.NaN;
							}}
							onPointerUp={(e) => {
								const by = e.clientX - finger.current;
								if (Math.abs(by) > SWIPE_PX) go(by < 0 ? at + 1 : at - 1);
							}}
						>
							<img src={made.url ?? large?.url ?? shot.url} alt={shot.photo.label || "photo"} />
							{!made.url && (
								<>
									<MapCanvas
										map={large?.map ?? shot.map}
										width={shot.photo.map_width}
										height={shot.photo.map_height}
										mode={mapMode.value}
										opacity={opacity.value}
										signed={signed}
									/>
									<Marks
										shot={large ?? shot}
										signed={signed}
										scale={set?.info.scale ?? 1}
										quantile={set?.info.quantile ?? 0}
									/>
								</>
							)}
						</div>
						<MapControls group="large" />
						{!state.saved && made.row}
					</div>
					<Facts shot={shot} large={large} quantile={set?.info.quantile ?? 0} />
				</div>
			</div>
		</div>
	);
}

/** The line above which activation is rare, the peak, and what the peak can see. */
function Marks(props: {
	shot: Shot;
	scale: number;
	quantile: number;
	signed: boolean | undefined;
}) {
	const { shot, scale, quantile, signed } = props;
	const { photo } = shot;
	const [w, h] = [photo.map_width, photo.map_height];
	const [left, top, right, bottom] = photo.receptive_field as [number, number, number, number];
	const [row, column] = photo.position as [number, number];
	const [zero, most] = signed ? [128, 127] : [0, 255];
	const threshold = scale > 0 ? zero + (quantile / scale) * most : 255;
	const line = threshold > 0 ? contour(shot.map, w, h, threshold) : "";
	return (
		<svg class="nw-marks" viewBox={`0 0 ${w} ${h}`} preserveAspectRatio="none" aria-hidden="true">
			{line && <path class="nw-mark-under" d={line} />}
			{line && <path class="nw-mark-line" d={line} />}
			{photo.peak > 0 && (
				<>
					<rect
						class="nw-mark-field"
						x={left * w}
						y={top * h}
						width={(right - left) * w}
						height={(bottom - top) * h}
					/>
					<circle class="nw-mark-peak" cx={column + 0.5} cy={row + 0.5} r={w / 72} />
				</>
			)}
		</svg>
	);
}

function Facts(props: { shot: Shot; large: LargeShot | undefined; quantile: number }) {
	const { shot, large, quantile } = props;
	const { state, commands, open, tab } = useView();
	const { photo } = shot;
	const fires = photo.peak > 0;
	const rare = photo.peak >= quantile && quantile > 0;
	return (
		<div class="nw-large-facts">
			{fires ? (
				<>
					<div class="nw-crop">
						{large ? (
							<img src={large.crop} alt="What the peak can see" />
						) : (
							<span class="nw-muted">The crop is on its way.</span>
						)}
					</div>
					<p class="nw-caption">what the strongest unit can see (its receptive field)</p>
				</>
			) : (
				<strong>The neuron fires nowhere in this photo.</strong>
			)}
			<dl class="nw-facts nw-facts-stacked">
				{photo.label && (
					<div>
						<dt>Class</dt>
						<dd>{photo.label}</dd>
					</div>
				)}
				<div>
					<dt>Score (mean)</dt>
					<dd>{value(photo.score)}</dd>
				</div>
				<div>
					<dt>Peak</dt>
					<dd>
						{value(photo.peak)}
						{fires && ` at row ${photo.position[0]}, column ${photo.position[1]}`}
					</dd>
				</div>
				<div>
					<dt>Outline</dt>
					<dd>
						above {value(quantile)}: the top 1 % of all positions
						{rare ? "" : "; nothing here"}
					</dd>
				</div>
				<div>
					<dt>File</dt>
					<dd class="nw-filename">{photo.path || `photo ${photo.index}`}</dd>
				</div>
			</dl>
			{!state.saved && (
				<button
					type="button"
					class="nw-button nw-small"
					onClick={() => {
						const { group, rank } = open.value as OpenPhoto;
						commands.bringShown(group, rank);
						tab.value = true;
						open.value = null;
					}}
				>
					Look at this one
				</button>
			)}
		</div>
	);
}

/** What is seen at once of what the widget lies in: of the lowest box that scrolls it. */
function heightInSight(root: HTMLElement): number {
	let height = innerHeight;
	for (let box = root.parentElement; box; box = box.parentElement)
		if (getComputedStyle(box).overflowY !== "visible")
			height = Math.min(height, box.clientHeight || height);
	return height;
}

/** Tab goes round inside the dialog. */
function keepInside(e: KeyboardEvent, box: HTMLElement): void {
	const stops = [
		...box.querySelectorAll<HTMLElement>("button, input:not(:disabled), [tabindex='0']"),
	];
	const home = box.getRootNode() as Document | ShadowRoot;
	const at = stops.indexOf(home.activeElement as HTMLElement);
	const next = e.shiftKey
		? at <= 0
			? stops.length - 1
			: at - 1
		: at === stops.length - 1
			? 0
			: at + 1;
	e.preventDefault();
	stops[next]?.focus();
}
