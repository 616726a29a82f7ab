import type { Model } from "../model";
import type * as P from "../protocol";
import { channelOf, channelTarget } from "../target";
import type { Saved, SavedNeuron, SavedShot } from "./data";
import { type Box, cut, inflate, octets } from "./pictures";

type Callback = (...args: unknown[]) => void;
type Octets = Uint8Array<ArrayBuffer>;

const NO_KERNEL =
	"Nothing can be rendered or scanned here: this page was saved and has no kernel behind it.";

const WHERE: Partial<Record<P.FromPage["kind"], P.Error["where"]>> = {
	start: "render",
	more: "render",
	configure: "render",
	scan: "scan",
	figure: "save",
};

/** The model of a saved page: it answers the widget's messages from what the page holds. */
export class SavedModel implements Model {
	readonly #saved: Saved;
	readonly #listeners = new Map<string, Set<Callback>>();
	#neuron: number;
	/** The neuron that was told last: it is not told twice. */
	#told = -1;

	constructor(saved: Saved) {
		this.#saved = saved;
		this.#neuron = channelOf(saved.selected.target).neuron;
	}

	get(name: string): unknown {
		const { layer, neuron } = this.#target;
		return { layer, neuron, steps: this.#saved.selected.steps, saved: true }[name];
	}

	on(name: string, callback: Callback): void {
		const all = this.#listeners.get(name) ?? new Set();
		this.#listeners.set(name, all.add(callback));
	}

	off(name: string, callback?: Callback | null): void {
		if (callback) this.#listeners.get(name)?.delete(callback);
		else this.#listeners.delete(name);
	}

	send(content: unknown): void {
		queueMicrotask(() => void this.#answer(content as P.FromPage));
	}

	/** What is selected: a page holds whole neurons of one layer. */
	get #target(): P.ChannelTarget {
		return channelTarget(channelOf(this.#saved.selected.target).layer, this.#neuron);
	}

	#tell(message: P.ToPage, bytes: Octets[] = []): void {
		const views = bytes.map((b) => new DataView(b.buffer, b.byteOffset, b.byteLength));
		for (const callback of this.#listeners.get("msg:custom") ?? []) callback(message, views);
	}

	async #answer(asked: P.FromPage): Promise<void> {
		const { selected } = this.#saved;
		switch (asked.kind) {
			case "ready":
				this.#snapshot();
				await this.#show(this.#neuron);
				return;
			case "select":
				this.#neuron = channelOf(asked.target).neuron;
				this.#tell({ ...selected, seq: asked.seq, target: this.#target });
				await this.#show(this.#neuron);
				return;
			case "pin":
				this.#tell({ kind: "pins", pins: asked.pins });
				for (const pin of asked.pins) await this.#show(channelOf(pin).neuron);
				return;
			case "enlarge":
				await this.#enlarge(asked);
				return;
			case "line": {
				const { first, other, note } = this.#saved.line;
				const line = this.#neuron ? other.replace("NEURON", `${this.#neuron}`) : first;
				this.#tell({ kind: "line", asker: asked.asker, line, note });
				return;
			}
			case "poll":
				this.#tell({ kind: "pulse" });
				this.#tell({ kind: "polled" });
				return;
			default: {
				const where = WHERE[asked.kind];
				if (where) this.#refuse(where, "This page has no kernel", NO_KERNEL);
			}
		}
	}

	/** Everything about the layer; what there is of a neuron follows. */
	#snapshot(): void {
		const { messages, selected, thumbs } = this.#saved;
		const { data, ...tiles } = thumbs;
		const all: P.ToPage[] = [...messages, { ...selected, target: this.#target }, tiles];
		const counts = all.map((message) => (message === tiles ? data.length : 0));
		const parts = all as unknown as Record<string, unknown>[];
		this.#told = -1;
		this.#tell({ kind: "snapshot", messages: parts, counts }, data.map(octets));
	}

	async #show(neuron: number): Promise<void> {
		if (neuron === this.#told) return;
		this.#told = neuron;
		const saved = this.#saved.neurons[neuron];
		if (!saved) {
			const { filter, holds = filter } = this.#saved;
			const there = holds ? ` It holds ${holds}.` : "";
			this.#refuse("select", `Neuron ${neuron} is not in this page`, `Not saved.${there}`);
			return;
		}
		if (saved.image) {
			const { data, ...image } = saved.image;
			this.#tell(image, [await cut(octets(data))]);
		}
		if (saved.photos) await this.#tellPhotos(saved.photos);
	}

	async #tellPhotos(saved: NonNullable<SavedNeuron["photos"]>): Promise<void> {
		const { maps: _, ...info } = saved;
		const shots = [...saved.most, ...saved.least];
		const maps = await this.#maps(saved);
		const bytes = shots.flatMap((shot, i) => [this.#picture(shot), maps[i] as Octets]);
		const photo = (shot: SavedShot, rank: number): P.Photo => this.#photo(shot, rank);
		this.#tell({ ...info, most: saved.most.map(photo), least: saved.least.map(photo) }, bytes);
	}

	async #maps(saved: NonNullable<SavedNeuron["photos"]>): Promise<Octets[]> {
		const all = await inflate(octets(saved.maps));
		const { height, width } = this.#layer;
		const size = height * width;
		return [...saved.most, ...saved.least].map((_, i) => all.slice(i * size, (i + 1) * size));
	}

	async #enlarge(asked: P.Enlarge): Promise<void> {
		const saved = this.#saved.neurons[channelOf(asked.target).neuron]?.photos;
		const shot = saved?.[asked.group][asked.rank];
		if (!saved || !shot) return;
		const maps = await this.#maps(saved);
		const map = maps[asked.group === "most" ? asked.rank : saved.most.length + asked.rank];
		const picture = this.#picture(shot);
		const [, , , , , ...field] = shot;
		const { target, scale, quantile } = saved;
		const photo = this.#photo(shot, asked.rank);
		this.#tell({ kind: "photo", target, group: asked.group, scale, quantile, photo }, [
			picture,
			map as Octets,
			await cut(picture, field as Box),
		]);
	}

	get #layer(): P.Layer {
		for (const message of this.#saved.messages)
			if (message.kind === "opened") return message.network.layers[0] as P.Layer;
		throw new Error("a saved page without its network");
	}

	#picture(shot: SavedShot): Octets {
		return octets(this.#saved.photos[shot[0]]?.data ?? "");
	}

	#photo(shot: SavedShot, rank: number): P.Photo {
		const [number, score, peak, row, column, ...receptive_field] = shot;
		const { height, width } = this.#layer;
		const { label = "", path = "" } = this.#saved.photos[number] ?? {};
		return {
			index: Number(number),
			rank,
			label,
			path,
			score,
			peak,
			position: [row, column],
			map_height: height,
			map_width: width,
			receptive_field,
		};
	}

	#refuse(where: P.Error["where"], title: string, message: string): void {
		this.#tell({ kind: "error", where, title, message, traceback: "", action: "", dataset: "" });
	}
}
