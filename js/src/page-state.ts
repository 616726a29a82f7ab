import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { Beat } from "./beat";
import type { Connection } from "./connection";
import type { Contact } from "./contact";
import { Errors } from "./errors";
import { Exports } from "./exports";
import { Frames, type LiveFrame } from "./frames";
import { InView } from "./in-view";
import { Looking } from "./looking";
import { type Group, type LargeShot, Media } from "./media";
import { OnDemand } from "./on-demand";
import { Pins } from "./pins";
import type * as P from "./protocol";
import { RenderSettings } from "./render-settings";
import { RunningCurve } from "./running-curve";
import { Selection } from "./selection";
import { MAX_STEPS } from "./steps";
import type { Strength } from "./strength";
import { Strips } from "./strips";
import { channelKey, sameTarget } from "./target";
import { isLive, Tasks } from "./tasks";

/** Whether one report goes on with the other, rather than to tell of a beginning or an end. */
const sameRun = (before: P.Progress | null, now: P.Progress | null): boolean =>
	before?.state === "running" &&
	now?.state === "running" &&
	before.layer === now.layer &&
	before.total === now.total &&
	now.done >= before.done &&
	(before.target === now.target || sameTarget(before.target, now.target));

/** What the page knows of one widget, shared by all its views; and what follows from it. */
export class PageState {
	/** What is being opened; empty when the network is there. */
	readonly opening: Signal<string> = signal("Waiting for the kernel");
	readonly network: Signal<P.Network | null> = signal(null);
	/** undefined: not told yet; null: told that there is none. */
	readonly dataset: Signal<P.Dataset | null | undefined> = signal(undefined);
	readonly strengths: Signal<ReadonlyMap<string, Strength>> = signal(new Map());
	readonly predicted: Signal<ReadonlyMap<string, P.Predicted>> = signal(new Map());
	readonly tasks = new Tasks();
	readonly errors = new Errors(this.tasks.news);
	readonly curve = new RunningCurve();
	readonly #beat = new Beat();
	// What is written of what changes many times a second.
	readonly renderRow: ReadonlySignal<P.Progress | null>;
	readonly scanRow: ReadonlySignal<P.Progress | null>;
	readonly previewRow: ReadonlySignal<P.Progress | null>;
	/** The step of the moving picture; null where none is shown. */
	readonly forming: ReadonlySignal<P.Frame | null>;
	/** The curve of the moving picture. */
	readonly drawnCurve: ReadonlySignal<number[][]>;
	readonly contact: Contact;
	readonly selection: Selection;
	readonly inView: InView;
	readonly frames: Frames;
	readonly renderSettings: RenderSettings;
	readonly pins: Pins;
	readonly exports: Exports;
	readonly media: Media;
	readonly looking: Looking;
	readonly onDemand: OnDemand;
	readonly strips: Strips;
	/** The page was saved: there is no kernel, and nothing is on its way. */
	readonly saved: boolean;
	readonly #ends: (() => void)[] = [];
	#identity = "";
	#photosOf = "";

	constructor(connection: Connection) {
		const ask = (message: P.FromPage): void => connection.ask(message);
		const send = (message: P.FromPage): void => connection.send(message);
		this.contact = connection.contact;
		this.selection = new Selection(ask, (layer) => this.layerOf({ layer })?.channels);
		this.inView = new InView(send);
		const ack = (index: number): void => send({ kind: "ack", index });
		const still = (): boolean =>
			globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
		this.frames = new Frames(ack, still);
		this.strips = new Strips(ack, still);
		this.renderSettings = new RenderSettings(ask);
		this.pins = new Pins(ask);
		this.exports = new Exports(ask);
		this.looking = new Looking(
			(message, buffers) => connection.ask(message, buffers),
			this.tasks.news,
		);
		this.onDemand = new OnDemand((message, quietly) => (quietly ? send : ask)(message));
		this.media = new Media((key) => this.pins.holds(key));
		this.saved = connection.model.get("saved") === true;
		this.renderRow = this.#beat.follow(this.#renderRow, sameRun);
		this.scanRow = this.#beat.follow(this.#scanRow, sameRun);
		this.previewRow = this.#beat.follow(this.#previewRow, sameRun);
		this.forming = this.#beat.follow(
			computed(() => this.liveFrame()?.frame ?? null),
			(before, now) => sameTarget(before?.target, now?.target),
		);
		this.#ends.push(
			// After all that follows the frame has heard of it.
			this.frames.shown.subscribe(() => queueMicrotask(() => this.#beat.join())),
		);
		this.drawnCurve = this.#beat.follow(
			this.curve.points,
			(before, now) => before.length > 0 && now.length > before.length,
		);
	}

	// ------------------------------------------------------------------ what follows

	readonly layerInfo: ReadonlySignal<P.Layer | undefined> = computed(() =>
		this.layerOf(this.selection.target.value),
	);
	readonly strength: ReadonlySignal<Strength | undefined> = computed(() =>
		this.strengths.value.get(this.selection.layer.value),
	);
	readonly gone: ReadonlySignal<boolean> = computed(() => this.contact.state.value === "gone");
	readonly busy: ReadonlySignal<boolean> = computed(() => this.tasks.busy);

	/** A render of what is selected runs or waits. */
	readonly rendering: ReadonlySignal<boolean> = computed(() => {
		const p = this.tasks.render.progress.value;
		const ours = sameTarget(p?.target, this.selection.target.value);
		return isLive(p) && ours && !this.gone.value;
	});

	/** The neuron of which anything is being rendered just now; "" for none. */
	readonly underWay: ReadonlySignal<string> = computed(() => {
		const p = this.tasks.render.progress.value;
		return p?.state === "running" && p.target ? channelKey(p.target) : "";
	});

	/** A rendering of what is selected that was stopped before its first step. */
	readonly #stoppedAtOnce: ReadonlySignal<P.Progress | null> = computed(() => {
		const p = this.tasks.render.progress.value;
		const target = this.selection.target.value;
		const stopped = p?.state === "stopped" && sameTarget(p.target, target);
		return stopped && !this.media.picture(target) ? p : null;
	});

	/** The rendering worth a row: one under way, or the one that made the image on screen. */
	readonly #renderRow: ReadonlySignal<P.Progress | null> = computed(() => {
		const p = this.tasks.render.progress.value;
		const target = this.selection.target.value;
		if (!p || isLive(p)) return p;
		if (!sameTarget(p.target, target)) return null;
		const made = this.media.picture(target)?.image.step;
		return p.state === "failed" || made === p.done || this.#stoppedAtOnce.value ? p : null;
	});

	/** A scan that goes on, or was stopped in the layer on screen. */
	readonly #scanRow: ReadonlySignal<P.Progress | null> = computed(() =>
		this.#liveOrStopped(this.tasks.scan.progress.value),
	);

	/** The same of the previews. Those that are switched off cannot be resumed. */
	readonly #previewRow: ReadonlySignal<P.Progress | null> = computed(() =>
		this.previewsOff.value ? null : this.#liveOrStopped(this.tasks.preview.progress.value),
	);

	readonly measureRow: ReadonlySignal<P.Progress | null> = computed(() =>
		this.#liveOrStopped(this.tasks.measure.progress.value),
	);

	/** The gallery does not fill by itself. */
	readonly previewsOff: ReadonlySignal<boolean> = computed(() =>
		this.renderSettings.off("preview"),
	);

	#liveOrStopped(p: P.Progress | null): P.Progress | null {
		if (!p || isLive(p)) return p;
		return p.state === "stopped" && p.layer === this.selection.layer.value ? p : null;
	}

	/** How many steps "More steps" goes on to, or 0 where there is nothing to go on from. */
	readonly moreTo: ReadonlySignal<number> = computed(() => {
		const image = this.media.picture(this.selection.target.value)?.image;
		if (this.rendering.value || this.gone.value) return 0;
		if (!image) return this.#stoppedAtOnce.value?.total ?? 0;
		if (image.step >= MAX_STEPS) return 0;
		// What was stopped is finished first; then twice as many, as the slider's scale has it.
		return image.step < image.steps
			? Math.max(image.steps, this.selection.steps.value)
			: Math.min(2 * image.step, MAX_STEPS);
	});

	/** The moving picture, if it is of what is selected and newer than a finished one. */
	liveFrame(): LiveFrame | null {
		const shown = this.frames.shown.value;
		const target = this.selection.target.value;
		if (!shown || !sameTarget(shown.frame.target, target)) return null;
		return this.rendering.value || !this.media.picture(target) ? shown : null;
	}

	largeShot(group: Group, rank: number): LargeShot | undefined {
		return this.media.largeShot(this.selection.target.value, group, rank);
	}

	/** Whether the scan of a layer goes on, or is to. */
	scans(layer: string): boolean {
		const { busy, progress } = this.tasks.scan;
		return busy.value && progress.value?.layer === layer;
	}

	/** Whether photos were found in a part of the data set. */
	partly({ scanned }: P.Photos): boolean {
		const dataset = this.dataset.value;
		return !!dataset && scanned + dataset.skipped_count < dataset.photos;
	}

	/** Whether photos are what a scan found that goes on, or has just ended: more are to come. */
	soFar(info: P.Photos): boolean {
		const scan = this.tasks.scan.progress.value;
		const ended = scan?.state === "done" && scan.layer === info.target.layer;
		return this.partly(info) && (ended || this.scans(info.target.layer));
	}

	isDead(neuron: number): boolean {
		return this.strength.value?.dead.has(neuron) ?? false;
	}

	/** What is known of a target's layer. */
	layerOf({ layer }: { layer: string }): P.Layer | undefined {
		return this.network.value?.layers.find(({ name }) => name === layer);
	}

	// ------------------------------------------------------------------ what takes its place

	/** Another network: what was of the old one goes. */
	setNetwork(network: P.Network): void {
		if (this.#identity !== network.identity) this.#clearNetwork();
		this.#identity = network.identity;
		this.network.value = network;
		this.opening.value = "";
	}

	/** Another data set: what was of the old one goes. */
	setDataset(dataset: P.Dataset | null): void {
		const name = dataset ? `${dataset.name}\n${dataset.photos}` : "";
		if (name !== this.#photosOf) {
			this.#photosOf = name;
			this.media.clearPhotos();
			this.strips.forget("dataset");
			this.strengths.value = new Map();
			this.predicted.value = new Map();
		}
		this.dataset.value = dataset;
	}

	/** Before a snapshot, which tells everything anew; pictures stay, it may not hold them all. */
	reset(): void {
		this.opening.value = "";
		this.network.value = null;
		this.dataset.value = undefined;
		this.errors.clear();
		this.looking.clear();
		this.strips.clear();
		this.tasks.clear();
		this.inView.forget();
	}

	dispose(): void {
		this.#beat.dispose();
		for (const end of this.#ends) end();
		this.selection.dispose();
		this.inView.dispose();
		this.frames.clear();
		this.looking.clear();
		this.strips.clear();
		this.#clearNetwork();
	}

	#clearNetwork(): void {
		this.media.clear();
		this.strengths.value = new Map();
		this.predicted.value = new Map();
		this.#photosOf = "";
	}
}
