import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { Contact } from "./contact";
import { Frames, type LiveFrame } from "./frames";
import { Keepsakes } from "./keepsakes";
import { Making } from "./making";
import { type Group, type LargeShot, Media, neuronKey } from "./media";
import type { Model } from "./model";
import { Pins } from "./pins";
import { Poll } from "./poll";
import type * as P from "./protocol";
import { clamp, MAX_STEPS, MIN_STEPS } from "./steps";
import { Throttle } from "./throttle";

export type Task = P.Progress["task"];
export type Where = P.Error["where"];

/** What a scan says of every neuron of a layer. */
export interface Strength {
	best: number[];
	dead: Set<number>;
	/** Classes, and for each neuron those of its best photos. */
	labels: string[];
	top: number[][];
}

const SELECT_GAP_MS = 100;
const IN_VIEW_GAP_MS = 250;
/** How long after a command work of the kernel may still begin. */
const EXPECTING_MS = 6_000;

const live = (progress: P.Progress | null): boolean =>
	progress?.state === "running" || progress?.state === "waiting";

/**
 * What the page knows of one widget: shared by all its views, fed by the kernel's messages, and the
 * only place that sends commands. Applying a message twice does no harm.
 */
export class Store {
	readonly opening: Signal<string> = signal("Waiting for the kernel");
	readonly network: Signal<P.Network | null> = signal(null);
	/** undefined: not told yet; null: told that there is none. */
	readonly dataset: Signal<P.Dataset | null | undefined> = signal(undefined);
	readonly layer: Signal<string> = signal("");
	readonly neuron: Signal<number> = signal(0);
	readonly steps: Signal<number> = signal(512);
	readonly progress: Record<Task, Signal<P.Progress | null>> = {
		render: signal(null),
		scan: signal(null),
		preview: signal(null),
	};
	readonly errors: Signal<Partial<Record<Where, P.Error>>> = signal({});
	readonly strengths: Signal<ReadonlyMap<string, Strength>> = signal(new Map());
	/** `[step, objective]` of the rendering that runs, as far as frames told. */
	readonly path: Signal<number[][]> = signal([]);
	/** What the person asked for and the kernel has not taken up yet. */
	readonly asked: Signal<"" | "render" | "scan" | "stop"> = signal("");
	/** The last thing worth saying aloud. */
	readonly news: Signal<string> = signal("");
	readonly contact = new Contact();
	readonly frames: Frames;
	readonly making = new Making((message) => this.#ask(message));
	readonly pins = new Pins((message) => this.#ask(message));
	readonly keepsakes = new Keepsakes((message) => this.#ask(message));
	/** The page was saved: there is no kernel, and nothing is on its way. */
	readonly saved: boolean;
	readonly media = new Media((key) => this.pins.holds(key));

	readonly key: ReadonlySignal<string> = computed(() =>
		neuronKey(this.layer.value, this.neuron.value),
	);
	readonly layerInfo: ReadonlySignal<P.Layer | undefined> = computed(() =>
		this.network.value?.layers.find((l) => l.name === this.layer.value),
	);
	readonly strength: ReadonlySignal<Strength | undefined> = computed(() =>
		this.strengths.value.get(this.layer.value),
	);
	/** A render of the selected neuron runs or waits. */
	readonly rendering: ReadonlySignal<boolean> = computed(() => {
		const p = this.progress.render.value;
		const ours = neuronKey(p?.layer ?? "", p?.neuron ?? -1) === this.key.value;
		return live(p) && ours && !this.gone.value;
	});
	readonly busy: ReadonlySignal<boolean> = computed(
		() =>
			this.asked.value === "render" ||
			this.asked.value === "scan" ||
			Object.values(this.progress).some((p) => live(p.value)),
	);

	/** The rendering worth a row: one under way, or the one that made the image on screen. */
	readonly renderRow: ReadonlySignal<P.Progress | null> = computed(() => {
		const p = this.progress.render.value;
		if (!p || live(p)) return p;
		if (neuronKey(p.layer, p.neuron) !== this.key.value) return null;
		const made = this.media.pictures.get(this.key.value)?.image.step;
		return p.state === "failed" || made === p.done ? p : null;
	});
	/** A scan that goes on, or was stopped in the layer on screen. */
	readonly scanRow: ReadonlySignal<P.Progress | null> = computed(() => {
		const p = this.progress.scan.value;
		if (!p || live(p)) return p;
		return p.state === "stopped" && p.layer === this.layer.value ? p : null;
	});
	readonly gone: ReadonlySignal<boolean> = computed(() => this.contact.state.value === "gone");

	/** How many steps "More steps" goes on to, or 0 where there is nothing to go on from. */
	readonly moreTo: ReadonlySignal<number> = computed(() => {
		const image = this.media.pictures.get(this.key.value)?.image;
		if (!image || this.rendering.value || this.gone.value || image.step >= MAX_STEPS) return 0;
		// What was stopped is finished first; then twice as many, as the slider's scale has it.
		return image.step < image.steps
			? Math.max(image.steps, this.steps.value)
			: Math.min(2 * image.step, MAX_STEPS);
	});

	readonly #select: Throttle<boolean>;
	readonly #inView: Throttle<number[]>;
	readonly #poll = new Poll(
		(more) => this.#ask({ kind: "poll", more }),
		() =>
			this.busy.value ||
			this.opening.value !== "" ||
			performance.now() - this.#commanded < EXPECTING_MS,
	);
	#commanded = Number.NEGATIVE_INFINITY;
	#seq = 0;
	#echoed = 0;
	#dragging = false;
	#inViewSent = "";
	#identity = "";
	#photosOf = "";
	#pathOf = "";
	#off: () => void;

	constructor(readonly model: Model) {
		this.saved = model.get("saved") === true;
		this.frames = new Frames(
			(index) => this.#send({ kind: "ack", index }),
			() => globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false,
		);
		this.#select = new Throttle(SELECT_GAP_MS, (settled) =>
			this.#ask({
				kind: "select",
				seq: this.#seq,
				layer: this.layer.value,
				neuron: this.neuron.value,
				steps: this.steps.value,
				settled,
			}),
		);
		this.#inView = new Throttle(IN_VIEW_GAP_MS, (neurons) => {
			const text = `${this.layer.value}:${neurons.join()}`;
			if (text === this.#inViewSent) return;
			this.#inViewSent = text;
			this.#send({ kind: "in_view", neurons });
		});

		const onMessage = (content: unknown, buffers: unknown): void => {
			this.contact.heard();
			this.#poll.heard((content as P.ToPage).kind);
			this.#poll.poke();
			batch(() => this.apply(content as P.ToPage, toViews(buffers)));
		};
		const onTrait = (): void => {
			this.contact.heard();
			// A trait carries no `seq`: while an answer is due, or during a drag, it may be old news.
			if (!this.#dragging && this.#echoed >= this.#seq) batch(() => this.#readTraits());
		};
		// JupyterLab says so when the kernel was restarted; a question that is answered says the
		// contrary. Other hosts have no such event: there the silence tells.
		const onLive = (): void => {
			this.contact.lost();
			this.#ask({ kind: "poll", more: false });
		};
		model.on("comm_live_update", onLive);
		const traits = ["change:layer", "change:neuron", "change:steps"];
		model.on("msg:custom", onMessage);
		for (const name of traits) model.on(name, onTrait);
		this.#off = () => {
			model.off("msg:custom", onMessage);
			model.off("comm_live_update", onLive);
			for (const name of traits) model.off(name, onTrait);
		};
		this.#readTraits();
	}

	// ------------------------------------------------------------------ what the person does

	viewReady(view: string): void {
		this.#ask({ kind: "ready", view });
	}

	viewVisible(view: string, visible: boolean, gone = false): void {
		this.#send({ kind: "visible", view, visible, gone });
	}

	/** Choose a layer, a neuron or steps. `settled` is false while a slider is being dragged. */
	select(change: { layer?: string; neuron?: number; steps?: number }, settled: boolean): void {
		batch(() => {
			if (change.layer !== undefined) this.layer.value = change.layer;
			if (change.steps !== undefined)
				this.steps.value = clamp(Math.round(change.steps), MIN_STEPS, MAX_STEPS);
			const wanted = Math.round(change.neuron ?? this.neuron.value);
			const channels = this.layerInfo.value?.channels;
			this.neuron.value = clamp(wanted, 0, channels ? channels - 1 : wanted);
			this.#forget("select");
		});
		this.media.touch(this.layer.value, this.neuron.value);
		this.#seq += 1;
		this.#dragging = !settled;
		if (settled) this.#select.pushNow(true);
		else this.#select.push(false);
	}

	start(): void {
		this.#select.flush();
		this.asked.value = "render";
		this.#forget("render");
		this.#ask({
			kind: "start",
			layer: this.layer.value,
			neuron: this.neuron.value,
			steps: this.steps.value,
		});
	}

	more(): void {
		if (!this.moreTo.value) return;
		this.#select.flush();
		this.asked.value = "render";
		this.#forget("render");
		const [layer, neuron] = [this.layer.value, this.neuron.value];
		this.#ask({ kind: "more", layer, neuron, steps: this.moreTo.value });
	}

	stop(): void {
		this.asked.value = "stop";
		this.news.value = "Stop requested";
		this.#ask({ kind: "stop" });
	}

	scan(dataset: string, download = false): void {
		this.asked.value = "scan";
		this.#forget("scan");
		this.#ask({ kind: "scan", dataset, download });
	}

	openEmbedded(): void {
		this.#forget("network");
		this.opening.value = "Opening the embedded network";
		this.#ask({ kind: "open_embedded" });
	}

	inView(neurons: number[]): void {
		if (neurons.length === 0) return;
		this.#inView.push(neurons);
	}

	enlarge(group: Group, rank: number): void {
		const [layer, neuron] = [this.layer.value, this.neuron.value];
		if (this.media.largeShot(layer, neuron, group, rank)) return;
		this.#ask({ kind: "enlarge", layer, neuron, group, rank });
	}

	dismiss(where: Where): void {
		this.#forget(where);
	}

	// ------------------------------------------------------------------ what the page shows

	/** The moving picture, if it is of the selected neuron and newer than a finished one. */
	liveFrame(): LiveFrame | null {
		const shown = this.frames.shown.value;
		if (!shown || neuronKey(shown.frame.layer, shown.frame.neuron) !== this.key.value) return null;
		return this.rendering.value || !this.media.pictures.get(this.key.value) ? shown : null;
	}

	largeShot(group: Group, rank: number): LargeShot | undefined {
		return this.media.largeShot(this.layer.value, this.neuron.value, group, rank);
	}

	isDead(neuron: number): boolean {
		return this.strength.value?.dead.has(neuron) ?? false;
	}

	dispose(): void {
		this.#off();
		this.#select.cancel();
		this.#inView.cancel();
		this.contact.dispose();
		this.#poll.dispose();
		this.frames.clear();
		this.#clearNetwork();
	}

	// ------------------------------------------------------------------ what the kernel says

	/** Apply one message of the kernel with its buffers. */
	apply(message: P.ToPage, buffers: DataView[]): void {
		switch (message.kind) {
			case "snapshot":
				this.#applySnapshot(message, buffers);
				return;
			case "selected":
				this.#applySelected(message);
				return;
			case "opening":
				this.opening.value = message.text;
				return;
			case "opened":
				if (this.#identity !== message.network.identity) this.#clearNetwork();
				this.#identity = message.network.identity;
				this.network.value = message.network;
				this.opening.value = "";
				return;
			case "configured":
				if (this.making.apply(message)) {
					this.frames.clear();
					this.path.value = [];
					this.media.clearPictures();
				}
				return;
			case "pins":
				this.pins.list.value = message.pins;
				return;
			case "line":
				this.keepsakes.applyLine(message);
				return;
			case "file":
				this.keepsakes.applyFile(message, buffers[0]);
				return;
			case "dataset":
				this.#applyDataset(message.dataset);
				return;
			case "progress":
				this.#applyProgress(message);
				return;
			case "frame":
				this.#applyFrame(message, buffers);
				return;
			case "image":
				this.#applyImage(message, buffers);
				return;
			case "thumbs":
				this.media.addThumbs(message, buffers);
				return;
			case "strengths":
				this.strengths.value = new Map(this.strengths.value).set(message.layer, {
					best: message.best,
					dead: new Set(message.dead),
					labels: message.labels,
					top: message.top,
				});
				return;
			case "photos":
				this.media.addPhotos(message, buffers);
				return;
			case "photo":
				this.media.addLarge(message, buffers);
				return;
			case "error":
				if (message.message) {
					this.errors.value = { ...this.errors.value, [message.where]: message };
					if (message.where === "network") this.opening.value = "";
					if (message.action === "download") this.news.value = message.title;
					this.asked.value = "";
					this.keepsakes.figure.value = false;
				} else {
					this.#forget(message.where);
				}
				return;
			default:
				// A newer kernel may say more than this page knows: nothing to do.
				return;
		}
	}

	#applySnapshot(snapshot: P.Snapshot, buffers: DataView[]): void {
		this.opening.value = "";
		this.network.value = null;
		this.dataset.value = undefined;
		this.errors.value = {};
		this.asked.value = "";
		this.#inViewSent = "";
		for (const task of Object.values(this.progress)) task.value = null;
		let from = 0;
		snapshot.messages.forEach((message, i) => {
			const to = from + (snapshot.counts[i] ?? 0);
			this.apply(message as unknown as P.ToPage, buffers.slice(from, to));
			from = to;
		});
	}

	#applySelected(message: P.Selected): void {
		const fromPython = message.seq < 0;
		if (fromPython ? this.#dragging : message.seq < this.#seq) return;
		if (!fromPython) {
			// Another tab may be ahead of us: count on from there.
			this.#seq = message.seq;
			this.#echoed = message.seq;
		}
		this.layer.value = message.layer;
		this.neuron.value = message.neuron;
		this.steps.value = message.steps;
	}

	#applyDataset(dataset: P.Dataset | null): void {
		const name = dataset ? `${dataset.name}\n${dataset.photos}` : "";
		if (name !== this.#photosOf) {
			this.#photosOf = name;
			this.media.clearPhotos();
			this.strengths.value = new Map();
		}
		this.dataset.value = dataset;
	}

	#applyProgress(message: P.Progress): void {
		const before = this.progress[message.task].value;
		this.progress[message.task].value = message;
		const asked = this.asked.value;
		if (asked === message.task || (asked === "stop" && !live(message))) this.asked.value = "";
		if (message.task === "preview" || before?.state === message.state) return;
		const what =
			message.task === "render"
				? `Rendering ${message.layer} neuron ${message.neuron}`
				: "Scanning photos";
		this.news.value = `${what}: ${message.state}`;
	}

	#applyFrame(frame: P.Frame, buffers: DataView[]): void {
		if (this.asked.value === "render") this.asked.value = "";
		const key = neuronKey(frame.layer, frame.neuron);
		let before = key === this.#pathOf ? this.path.value : [];
		const picture = this.media.pictures.peek(key)?.image;
		// The first frame seen is beyond a finished picture: the kernel goes on from that one.
		if (before.length === 0 && picture && frame.step > picture.step) before = picture.history;
		const last = before.at(-1)?.[0] ?? 0;
		this.#pathOf = key;
		if (frame.value === undefined) this.path.value = [];
		// A step smaller than the last begins a new rendering.
		else if (frame.step > last) this.path.value = [...before, [frame.step, frame.value]];
		else if (frame.step < last) this.path.value = [[frame.step, frame.value]];
		if (buffers[0]) this.frames.receive(frame, buffers[0]);
	}

	#applyImage(image: P.Image, buffers: DataView[]): void {
		const data = buffers[0];
		if (!data || !this.making.fits(image)) return;
		if (this.asked.value === "render") this.asked.value = "";
		this.media.addPicture(image, data);
		const shown = this.frames.shown.value?.frame;
		if (!shown || (shown.layer === image.layer && shown.neuron === image.neuron)) {
			this.frames.clear();
		}
	}

	// ------------------------------------------------------------------ helpers

	#forget(where: Where): void {
		if (!this.errors.value[where]) return;
		const rest = { ...this.errors.value };
		delete rest[where];
		this.errors.value = rest;
	}

	#clearNetwork(): void {
		this.media.clear();
		this.strengths.value = new Map();
		this.#photosOf = "";
	}

	#readTraits(): void {
		const [layer, neuron, steps] = ["layer", "neuron", "steps"].map((n) => this.model.get(n));
		if (typeof layer === "string" && layer) this.layer.value = layer;
		if (typeof neuron === "number") this.neuron.value = neuron;
		if (typeof steps === "number") this.steps.value = steps;
	}

	#send(message: P.FromPage): void {
		try {
			this.model.send(message);
		} catch {
			// JupyterLab throws once the kernel behind the comm is gone: say so, keep the images.
			this.contact.lost();
		}
	}

	/** Send a command that the kernel answers. */
	#ask(message: P.FromPage): void {
		this.contact.asked();
		if (message.kind !== "poll") this.#commanded = performance.now();
		this.#poll.poke();
		this.#send(message);
	}
}

/** Hosts hand over DataViews, and some ArrayBuffers. */
function toViews(buffers: unknown): DataView[] {
	return ((buffers ?? []) as (DataView | ArrayBuffer)[]).map((b) =>
		b instanceof DataView ? b : new DataView(b),
	);
}
