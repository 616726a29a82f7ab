// A model with a scripted kernel behind it: the page without Jupyter, for looking and for tests.
// Pictures are drawn on canvases; nothing is computed and nothing is loaded.

import { bumps, bytes, pattern, scene, source } from "./drawings.js";

const LAYERS = [
	["conv2d0", 64, 112, 112],
	["mixed3a", 256, 28, 28],
	["mixed4a", 508, 14, 14],
	["mixed5b", 1024, 7, 7],
].map(([name, channels, height, width]) => ({ name, channels, height, width }));

const CLASSES = [
	"golden retriever",
	"tench",
	"French horn",
	"church",
	"parachute",
	"chain saw",
	"garbage truck",
	"cassette player",
	"gas pump",
];

/** The largest activation of any neuron here. */
const SCALE = 260;

const DEAD = new Set([5, 17, 230]);

/** The name of a target, as in Python. */
const keyOf = ({ layer, neuron, row, column }) =>
	row === undefined ? `${layer}:${neuron}` : `${layer}:${neuron}@${row},${column}`;

/** The model that anywidget would hand to the page, with its kernel. */
export class FakeModel {
	/** `options.speed` steps a second, `options.mute` answers nothing; `row`, `column`: a unit. */
	constructor(options = {}) {
		this.options = { speed: 120, photos: 9, dataset: true, layer: "mixed4a", ...options };
		const { layer, neuron = 68, row, column } = this.options;
		/** The traits. */
		this.state = { layer, neuron, steps: 512, status: "", progress: 0 };
		this.target =
			row === undefined
				? { kind: "channel", layer, neuron }
				: { kind: "unit", layer, neuron, row, column };
		this.sent = [];
		this.listeners = new Map();
		this.images = new Map();
		this.thumbs = new Set();
		this.settings = { size: 224, lr: 0.05, seed: 0, objective: "channel", previews: true };
		this.turn = 0;
		this.frame = 0;
	}

	get(name) {
		return this.state[name];
	}

	on(name, callback) {
		if (!this.listeners.has(name)) this.listeners.set(name, new Set());
		this.listeners.get(name).add(callback);
	}

	off(name, callback) {
		this.listeners.get(name)?.delete(callback);
	}

	/** Kernel to page. */
	tell(message, buffers = []) {
		for (const callback of this.listeners.get("msg:custom") ?? []) callback(message, buffers);
	}

	/** Page to kernel. */
	send(message) {
		this.sent.push({ at: performance.now(), ...message });
		if (this.options.mute) return;
		setTimeout(() => this[`on_${message.kind}`]?.(message), 2);
	}

	/** What comes on demand. `options.panels: 0` never sends it. */
	async on_panels() {
		if (this.options.panels === 0) return;
		const answer = await fetch(new URL("../../neuron_widget/static/panels.js", import.meta.url));
		this.tell({ kind: "panels" }, [new DataView(await answer.arrayBuffer())]);
	}

	/** The settings that make pictures. */
	get making() {
		const { previews: _, ...making } = this.settings;
		return making;
	}

	/** The neuron that is selected, whole. */
	get channel() {
		const { layer, neuron } = this.state;
		return { kind: "channel", layer, neuron };
	}

	get layerInfo() {
		return LAYERS.find((l) => l.name === this.state.layer);
	}

	get network() {
		return {
			name: "inceptionv1",
			title: "InceptionV1",
			identity: "inceptionv1-23866e7c",
			device: "cpu",
			note: this.options.note ?? "",
			layers: LAYERS,
		};
	}

	get dataset() {
		return {
			name: "photos/train",
			photos: 560,
			skipped: ["train/n01440764/broken <b>name</b>.JPEG", "train/n03028079/empty.png"],
			skipped_count: 2,
			note: "",
		};
	}

	on_ready() {
		const { target } = this;
		const { steps } = this.state;
		const messages = [
			{ kind: "selected", seq: -1, target, steps },
			{ kind: "configured", settings: this.settings },
		];
		if (this.options.error) {
			messages.push({
				kind: "error",
				where: "network",
				title: "The weights of InceptionV1 are not here",
				message:
					"inception5h.pth was not found in the hub cache, and the download failed: no route to host.\n\nWays out:\n  · NeuronWidget(weights='path/to/inceptionv1.pth')\n  · set NEURON_WIDGET_WEIGHTS to that path\n  · go online once: the file is kept\n  · or open the embedded network, which needs no download",
				traceback:
					"Traceback (most recent call last):\n  File 'models.py', line 88, in load_model\nWeightsUnavailable: inception5h.pth",
				action: "embedded",
				dataset: "",
			});
		} else if (this.options.opening) {
			messages.push({ kind: "opening", text: "Loading InceptionV1 (28 MB)" });
		} else {
			messages.push({ kind: "opened", network: this.network });
			messages.push({ kind: "dataset", dataset: this.options.dataset ? this.dataset : null });
			if (this.options.dataset && !this.options.scanning) messages.push(this.strengths());
		}
		this.tell({ kind: "snapshot", messages, counts: messages.map(() => 0) });
		if (this.options.error || this.options.opening) return;
		if (this.options.scanning) {
			this.tell(this.progress("scan", 203, 560, 31, 11.5));
			this.options.scanned = 203;
			this.sendPhotos();
		} else if (this.options.dataset) {
			this.sendPhotos();
		}
		if (this.options.start) this.on_start({ target, steps });
		if (this.options.previews !== false) void this.previews();
	}

	on_open_embedded() {
		this.options.error = false;
		this.tell({
			kind: "error",
			where: "network",
			title: "",
			message: "",
			traceback: "",
			action: "",
			dataset: "",
		});
		this.on_ready();
	}

	strengths() {
		const { name, channels } = this.layerInfo;
		const best = Array.from({ length: channels }, (_, n) =>
			DEAD.has(n) ? 0 : 20 + 90 * source(n)(),
		);
		const top = best.map((_, n) => [n % CLASSES.length, (n * 5 + 2) % CLASSES.length]);
		return { kind: "strengths", layer: name, best, dead: [...DEAD], labels: CLASSES, top };
	}

	on_in_view({ neurons }) {
		this.wanted = neurons;
	}

	async previews() {
		const { name, channels } = this.layerInfo;
		this.previewsStopped = false;
		while (
			this.thumbs.size < (this.options.previews ?? channels) &&
			this.layerInfo?.name === name
		) {
			const all = Array.from({ length: channels }, (_, n) => n);
			const next = [this.state.neuron, ...(this.wanted ?? []), ...all]
				.filter((n, i, list) => !this.thumbs.has(n) && list.indexOf(n) === i)
				.slice(0, 8);
			if (next.length === 0) break;
			const buffers = [];
			for (const n of next) {
				this.thumbs.add(n);
				buffers.push(bytes(pattern(n, 56, 0.6), "image/jpeg"));
			}
			this.tell(
				{ kind: "thumbs", layer: name, neurons: next, finished: next.map(() => false) },
				buffers,
			);
			this.tell(this.progress("preview", this.thumbs.size, channels, 9.4, 40));
			await new Promise((done) => setTimeout(done, 20));
			if (this.previewsStopped) {
				this.tell(this.progress("preview", this.thumbs.size, channels, 0, 0, "stopped"));
				return;
			}
		}
	}

	progress(task, done, total, rate, left, state = "running") {
		const { layer } = this.state;
		const target = task === "render" ? this.target : null;
		return { kind: "progress", task, layer, target, done, total, rate, left, state };
	}

	on_select({ seq, target, steps, settled }) {
		const { layer, neuron } = target;
		const moved = keyOf(target) !== keyOf(this.target);
		if (layer !== this.state.layer) {
			this.thumbs.clear();
			setTimeout(() => {
				this.tell(this.strengths());
				void this.previews();
			});
		}
		this.target = target;
		Object.assign(this.state, { layer, neuron, steps });
		this.tell({ kind: "selected", seq, target, steps });
		if (!moved && !settled) return;
		if (this.options.dataset) this.sendPhotos();
		if (settled && !this.images.has(keyOf(target))) this.on_start({ target, steps });
	}

	/** One photo of a neuron, the seed of its drawing, and its map. */
	photo(neuron, group, rank) {
		const { width, height } = this.layerInfo;
		const seed = neuron * 40 + (group === "most" ? rank : 20 + rank);
		const strength = group === "most" ? 1 - rank * 0.07 : 0.12 - rank * 0.01;
		const { map, peak, position } = bumps(seed, width, height, strength);
		const [row, column] = position;
		const photo = {
			index: seed,
			rank,
			label: CLASSES[(seed * 7) % CLASSES.length],
			path: `train/n0${1440764 + seed}/ILSVRC2012_val_0000${seed}.JPEG`,
			score: (group === "most" ? 132.5 : 3.1) * strength,
			peak: (peak / 255) * SCALE,
			position,
			map_height: height,
			map_width: width,
			receptive_field: [
				Math.max(0, (column - 3.5) / width),
				Math.max(0, (row - 3.5) / height),
				Math.min(1, (column + 4.5) / width),
				Math.min(1, (row + 4.5) / height),
			],
		};
		return { photo, seed, map };
	}

	sendPhotos() {
		const target = this.channel;
		const { neuron } = target;
		const dead = DEAD.has(neuron);
		const buffers = [];
		const groups = { most: [], least: [] };
		for (const [group, photos] of Object.entries(groups)) {
			for (let rank = 0; rank < this.options.photos; rank++) {
				const { photo, seed, map } = this.photo(neuron, group, rank);
				photos.push(photo);
				buffers.push(bytes(scene(seed, 112), "image/jpeg"), new DataView(map.buffer));
			}
		}
		if (neuron !== this.state.neuron) return;
		const counts = Array.from(
			{ length: 32 },
			(_, i) => Math.round(160 * Math.exp(-i / 4)) + (i % 5 === 0 ? 1 : 0),
		);
		const edges = Array.from({ length: 33 }, (_, i) => (i * 140) / 32);
		this.tell(
			{
				kind: "photos",
				target,
				dataset: "photos/train",
				scanned: this.options.scanned ?? 558,
				scale: SCALE,
				quantile: 118,
				mean: 21.4,
				std: 18.9,
				dead,
				most: groups.most,
				least: groups.least,
				histogram: { counts, edges },
			},
			buffers,
		);
	}

	on_enlarge({ target, group, rank }) {
		const { photo, seed, map } = this.photo(target.neuron, group, rank);
		this.tell({ kind: "photo", target: this.channel, group, scale: SCALE, quantile: 118, photo }, [
			bytes(scene(seed, 448), "image/jpeg"),
			new DataView(map.buffer),
			bytes(scene(seed, 160), "image/jpeg"),
		]);
	}

	on_bring({ name, piece, pieces }) {
		if (piece + 1 === pieces) this.look(name);
	}

	on_bring_shown({ target, rank }) {
		this.look(`ILSVRC2012_val_0000${target.neuron * 40 + rank}.JPEG`);
	}

	on_put_away() {
		this.tell({ kind: "put_away" });
	}

	/** A photo was brought: who fires on it. */
	look(name) {
		const { name: layer, channels, width, height } = this.layerInfo;
		this.looks = (this.looks ?? 0) + 1;
		const percentiles = Array.from({ length: channels }, (_, n) => 100 * source(n + 7)() ** 0.5);
		const order = percentiles.map((_, n) => n).sort((a, b) => percentiles[b] - percentiles[a]);
		const worth = percentiles.map((p) => p.toFixed(1));
		const size = { map_width: width, map_height: height };
		this.tell(
			{ kind: "looked", look: this.looks, name, layer, unit: "percentile", order, worth, ...size },
			[bytes(scene(77, 448), "image/jpeg")],
		);
		const neurons = order.slice(0, 12);
		const title = "Most unusual on this photo";
		const note = "Compared by percentiles among 558 photos of 'photos/train'.";
		const shown = { neurons, worth: neurons.map((n) => worth[n]), title, note };
		this.tell({ kind: "place", look: this.looks, whole: true, ...shown }, neurons.map(this.mapOn));
		this.on_answer({ question: "" });
	}

	/** Where a neuron fires on the photo that was brought. */
	mapOn = (neuron) => {
		const { width, height } = this.layerInfo;
		return new DataView(bumps(neuron + 3, width, height, 0.9).map.buffer);
	};

	on_map({ target }) {
		this.tell({ kind: "map", look: this.looks, target }, [this.mapOn(target.neuron)]);
	}

	on_place({ row, column }) {
		const random = source(row * 31 + column);
		const neurons = Array.from({ length: 12 }, () => Math.floor(random() * 500));
		const worth = neurons.map((_, i) => `${(3.1 * 0.85 ** i).toFixed(1)}×`);
		const title = `Firing at row ${row}, column ${column}`;
		const note = "Compared with the level that 1 % of a neuron's positions pass in the data set.";
		const shown = { whole: false, title, note, neurons, worth };
		this.tell({ kind: "place", look: this.looks, ...shown }, neurons.map(this.mapOn));
	}

	on_answer({ question }) {
		const classes = CLASSES.slice(0, question ? 6 : 5).map((name, i) => ({
			name,
			before: `${(61 * 0.35 ** i).toFixed(1)}\u00a0%`,
			after: `${(44 * 0.42 ** i).toFixed(1)}\u00a0%`,
			change: `${i ? "+" : "−"}${(17 * 0.4 ** i).toFixed(1)}`,
		}));
		this.tell({ kind: "answer", look: this.looks, question, classes, note: "" });
	}

	on_more({ target, steps }) {
		void this.on_start({ target, steps, from: steps / 2 });
	}

	on_configure({ settings }) {
		this.settings = settings;
		this.images.clear();
		this.thumbs.clear();
		this.tell({ kind: "configured", settings });
		void this.previews();
	}

	on_pin({ pins }) {
		this.tell({ kind: "pins", pins });
	}

	on_line({ asker }) {
		const { layer, neuron } = this.state;
		const line = `NeuronWidget("${layer}", neuron=${neuron}, dataset="photos/train")`;
		this.tell({ kind: "line", asker, line, note: "" });
	}

	on_figure({ asker, target }) {
		const name = `${keyOf(target).replace(/[:@,]/g, "_")}_figure.png`;
		this.tell({ kind: "file", asker, name, mime: "image/png" }, [
			bytes(pattern(target.neuron, 224, 1), "image/png"),
		]);
	}

	on_stop({ task }) {
		if (task === "render") this.stopped = true;
		if (task === "preview") this.previewsStopped = true;
		if (task !== "scan" || !this.options.scanning) return;
		this.tell(this.progress("scan", 203, 560, 0, 0, "stopped"));
		this.options.scanned = 203;
		this.tell(this.strengths());
		this.sendPhotos();
	}

	on_resume({ task }) {
		if (task === "preview") void this.previews();
		if (task !== "scan") return;
		this.options.scanned = 558;
		this.tell(this.progress("scan", 204, 560, 31, 11.5));
		setTimeout(() => this.on_scan({ dataset: "photos/train" }), 1000);
	}

	on_scan({ dataset }) {
		if (dataset.startsWith("/no")) {
			this.tell({
				kind: "error",
				where: "scan",
				title: "This data set cannot be opened",
				message: `'${dataset}' is not a folder; expected a folder of images, 'samples' or 'imagenette'.`,
				traceback: "",
				action: "",
				dataset,
			});
			return;
		}
		this.options.dataset = true;
		this.tell(this.progress("scan", 560, 560, 31, 0, "done"));
		this.tell({ kind: "dataset", dataset: { ...this.dataset, name: dataset } });
		this.tell(this.strengths());
		this.sendPhotos();
	}

	async on_start({ target, steps, from = 0 }) {
		// A unit looks otherwise than its neuron.
		const drawing = target.neuron + (target.kind === "unit" ? 0.5 : 0);
		const turn = ++this.turn;
		this.stopped = false;
		const { speed } = this.options;
		const until = this.options.until ?? steps;
		let step = from;
		for (; step < until && !this.stopped; ) {
			step = Math.min(until, step + Math.max(1, Math.round(speed / 10)));
			this.tell(this.progress("render", step, steps, speed, (steps - step) / speed));
			this.tell(
				{
					kind: "frame",
					index: this.frame++,
					target,
					step,
					steps,
					value: 3400 * (1 - Math.exp(-step / 120)) + 150 * Math.sin(step / 9),
				},
				[bytes(pattern(drawing, 224, 0.15 + (0.85 * step) / steps), "image/jpeg")],
			);
			await new Promise((done) => setTimeout(done, 100));
			if (turn !== this.turn) return;
		}
		if (this.options.until && !this.stopped) return;
		const clarity = 0.15 + (0.85 * step) / steps;
		const history = Array.from({ length: 60 }, (_, i) => [
			(i * step) / 59,
			3400 * (1 - Math.exp(-i / 14)) + 200 * Math.sin(i * 1.7),
		]);
		this.images.set(keyOf(target), true);
		this.tell(this.progress("render", step, steps, speed, 0, this.stopped ? "stopped" : "done"));
		this.tell(
			{
				kind: "image",
				target,
				step,
				steps,
				settings: this.making,
				seconds: step / speed,
				activation: 3198.4,
				comparable: target.kind === "channel" && this.settings.objective === "channel",
				history,
				look: {
					mean_rgb: [118.2, 107.9, 131.1],
					std_rgb: [61.3, 55.8, 58.4],
					patterns: ["High contrast/texture"],
				},
			},
			[bytes(pattern(drawing, 224, clarity), "image/png")],
		);
		const { layer, neuron } = target;
		if (target.kind !== "channel") return;
		this.tell({ kind: "thumbs", layer, neurons: [neuron], finished: [true] }, [
			bytes(pattern(neuron, 56, clarity), "image/jpeg"),
		]);
	}
}
