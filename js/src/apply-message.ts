import type { PageState } from "./page-state";
import type * as P from "./protocol";
import { strengthOf } from "./strength";
import { sameTarget } from "./target";

/** Change the state as one message of the kernel says. Applying it twice does no harm. */
export function applyMessage(
	state: PageState,
	message: P.ToPage,
	buffers: DataView<ArrayBuffer>[],
): void {
	switch (message.kind) {
		case "snapshot":
			applySnapshot(state, message, buffers);
			return;
		case "selected":
			state.selection.apply(message);
			return;
		case "opening":
			state.opening.value = message.text;
			return;
		case "opened":
			state.setNetwork(message.network);
			return;
		case "configured":
			if (state.renderSettings.apply(message)) {
				state.frames.clear();
				state.curve.clear();
				state.media.clearPictures();
				state.strips.clear();
			}
			return;
		case "pins":
			state.pins.list.value = message.pins;
			return;
		case "line":
			state.exports.applyLine(message);
			return;
		case "file":
			state.exports.applyFile(message, buffers[0]);
			return;
		case "dataset":
			state.setDataset(message.dataset);
			return;
		case "progress":
			state.tasks.apply(message);
			return;
		case "frame":
			applyFrame(state, message, buffers[0]);
			return;
		case "image":
			applyImage(state, message, buffers);
			return;
		case "strip":
			state.strips.apply(message, buffers);
			return;
		case "put_away":
			state.strips.forget("brought");
			state.looking.apply(message, buffers);
			return;
		case "thumbs":
			state.media.addThumbs(message, buffers);
			return;
		case "strengths":
			state.strengths.value = new Map(state.strengths.value).set(
				message.layer,
				strengthOf(message),
			);
			return;
		case "predicted":
			state.predicted.value = new Map(state.predicted.value).set(message.layer, message);
			return;
		case "photos":
			state.media.addPhotos(message, buffers);
			if (!state.scans(message.target.layer)) state.media.settlePhotos(message);
			return;
		case "photo":
			state.media.addLarge(message, buffers);
			return;
		case "panels":
			void state.onDemand.apply(buffers[0]);
			return;
		case "error":
			applyError(state, message);
			return;
		default:
			// A newer kernel may say more than this page knows: nothing to do.
			state.looking.apply(message, buffers);
	}
}

function applySnapshot(
	state: PageState,
	snapshot: P.Snapshot,
	buffers: DataView<ArrayBuffer>[],
): void {
	state.reset();
	let from = 0;
	snapshot.messages.forEach((message, i) => {
		const to = from + (snapshot.counts[i] ?? 0);
		applyMessage(state, message as unknown as P.ToPage, buffers.slice(from, to));
		from = to;
	});
	state.onDemand.soon();
}

function applyFrame(
	state: PageState,
	frame: P.Frame,
	data: DataView<ArrayBuffer> | undefined,
): void {
	const { asked } = state.tasks.render;
	if (asked.value === "start") asked.value = "";
	const finished = state.media.peekPicture(frame.target);
	state.curve.add(frame, finished?.image);
	if (data) state.frames.receive(frame, data);
}

function applyImage(
	state: PageState,
	image: P.Image,
	[data, alpha]: DataView<ArrayBuffer>[],
): void {
	if (!data || !state.renderSettings.fits(image)) return;
	state.tasks.render.asked.value = "";
	state.media.addPicture(image, data, alpha);
	const shown = state.frames.shown.value?.frame;
	if (!shown || sameTarget(shown.target, image.target)) state.frames.clear();
}

function applyError(state: PageState, error: P.Error): void {
	if (!error.message) {
		state.errors.remove(error.where);
		return;
	}
	state.errors.add(error);
	if (error.where === "network") state.opening.value = "";
	if (error.where === "photo") state.looking.coming.value = "";
	state.tasks.refused();
	state.exports.figure.value = false;
}
