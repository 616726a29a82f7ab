import { count, plural, value } from "../format";
import type { Group, Shot } from "../media";
import { isWhole, layerBefore, titleOf } from "../target";
import { useView } from "../view-context";
import { MapCanvas } from "./map-canvas";
import { MapControls } from "./map-controls";

export const GROUP_NAMES: Record<Group, string> = {
	most: "Most activating",
	least: "Least activating",
};

/** The photos that fire the neuron most and least; or why there are none, and what gets them. */
export function Photos() {
	const { state } = useView();
	const dataset = state.dataset.value;
	const set = state.media.photos(state.selection.target.value);
	const scanning = state.tasks.scan.busy.value;
	if (!dataset && !set) {
		return (
			<section class="nw-photos" aria-label="Photos">
				<div class="nw-photos-head">
					<h3 class="nw-heading">
						Photos <OfNeuron />
					</h3>
					{dataset === undefined && <ScanButton photos={0} partly={false} />}
				</div>
				<p class="nw-muted">
					{state.gone.value
						? "Not here, and the kernel does not answer."
						: scanning
							? "Scanning: the photos appear here as they are found."
							: dataset === null
								? "No data set yet: give one above, and the photos that fire this neuron appear here."
								: state.scanRow.value
									? "The scan was stopped before the first photo."
									: "Not scanned: no photos have been looked into yet."}
				</p>
			</section>
		);
	}
	const dead = set ? set.info.dead : state.isDead(state.selection.neuron.value);
	const unscanned = !set && !scanning && !state.strength.value;
	const total = dataset?.photos ?? 0;
	const soFar = !!set && state.soFar(set.info);
	const partly = !!set && !scanning && !soFar && state.partly(set.info);
	const reason = state.gone.value
		? "not here, and the kernel does not answer"
		: scanning
			? "Scanning"
			: unscanned
				? "not scanned"
				: "Looking the photos up";
	return (
		<section class="nw-photos" aria-label="Photos">
			<div class="nw-photos-head">
				<h3 class="nw-heading">
					Photos <OfNeuron />{" "}
					{set && (
						<span class="nw-muted nw-plain">
							{partly && `${count(set.info.scanned)} of `}
							{plural(partly ? total : set.info.scanned, "photo")} scanned
							{soFar && ` so far, of ${count(total)}`}
						</span>
					)}
				</h3>
				{(unscanned || partly) && <ScanButton photos={total} partly={partly} />}
				{!unscanned && !dead && <MapControls group="strip" />}
			</div>
			{dead ? (
				<p class="nw-dead-note">
					<strong>{soFar ? "Silent so far." : "Dead on these photos."}</strong> This neuron gave
					zero everywhere in all {count(set?.info.scanned ?? total)} of them, so none fires it more
					than another.
				</p>
			) : (
				<>
					<Strip group="most" shots={set?.most} reason={reason} />
					<Strip group="least" shots={set?.least} reason={reason} />
				</>
			)}
		</section>
	);
}

/** Says whose they are, where a part of the neuron is selected: photos are of all of it. */
export function OfNeuron() {
	const { state } = useView();
	const { target, channel } = state.selection;
	if (isWhole(target.value)) return null;
	return (
		<span class="nw-plain nw-of">
			of {layerBefore(target.value) && "the whole "}
			{titleOf(channel.value, state.layerInfo.value)}
		</span>
	);
}

/** Begins the scan, or lets a stopped one go on. */
function ScanButton({ photos, partly }: { photos: number; partly: boolean }) {
	const { state, commands } = useView();
	if (state.tasks.scan.busy.value || state.gone.value || state.saved) return null;
	const stopped = state.scanRow.value !== null;
	const of = photos ? plural(photos, "photo") : "the photos";
	return (
		<button
			type="button"
			class="nw-button nw-small"
			onClick={() => (stopped ? commands.resume("scan") : commands.scan(""))}
		>
			{stopped ? "Resume the scan" : `${partly ? "Scan all" : "Scan"} ${of}`}
		</button>
	);
}

function Strip(props: { group: Group; shots: Shot[] | undefined; reason: string }) {
	const { group, shots, reason } = props;
	const { state } = useView();
	const named = state.strength.value?.labels.length !== 0;
	return (
		// biome-ignore lint/a11y/useSemanticElements: a fieldset is for form fields
		<div class="nw-strip-block" role="group" aria-label={GROUP_NAMES[group]}>
			<h4 class="nw-subheading">
				{GROUP_NAMES[group]}
				{!shots && <span class="nw-muted nw-plain"> · {reason}</span>}
			</h4>
			<div
				class={named ? "nw-strip nw-named" : "nw-strip"}
				aria-busy={!shots && !reason.startsWith("not")}
			>
				{shots
					? shots.map((shot, i) => (
							<PhotoTile key={shot.photo.rank} group={group} shot={shot} at={i} />
						))
					: Array.from({ length: 9 }, (_, i) => (
							<div key={i} class="nw-photo">
								<span class="nw-photo-box" />
								<span class="nw-photo-score">{"\u00a0"}</span>
								<span class="nw-photo-label" />
							</div>
						))}
			</div>
		</div>
	);
}

function PhotoTile({ group, shot, at }: { group: Group; shot: Shot; at: number }) {
	const { state, open, mapMode, opacity } = useView();
	const { photo } = shot;
	return (
		<button
			type="button"
			class="nw-photo"
			title={photo.label || photo.path}
			onClick={(e) => {
				open.value = { group, rank: photo.rank, index: photo.index, from: e.currentTarget };
			}}
		>
			<span class="nw-photo-box">
				<img src={shot.url} alt="" decoding="async" />
				<MapCanvas
					map={shot.map}
					width={photo.map_width}
					height={photo.map_height}
					mode={mapMode.value}
					opacity={opacity.value}
					signed={state.layerInfo.value?.signed}
				/>
			</span>
			<span class="nw-photo-score">
				<span class="nw-unseen">{`Photo ${at + 1}, score `}</span>
				{value(photo.score)}
			</span>
			<span class="nw-photo-label">{photo.label}</span>
		</button>
	);
}
