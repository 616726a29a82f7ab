import { type Signal, signal } from "@preact/signals";
import { bytesOf } from "./buffers";
import * as P from "./protocol";
import { channelTarget } from "./target";
import { Throttle } from "./throttle";
import { dropUrl, makeUrl } from "./urls";

type Views = DataView<ArrayBuffer>[];
type Ask = (message: P.FromPage, buffers?: BufferSource[]) => void;
export type Bytes = Uint8Array<ArrayBuffer>;

/** A photo that a person brought, and what the kernel says of it. */
export class Looking {
	readonly photo: Signal<(P.Looked & { url: string }) | null> = signal(null);
	/** The name of the file that is on its way. */
	readonly coming: Signal<string> = signal("");
	/** The neurons that fire most: on all of it, and at the place pointed at. */
	readonly whole: Signal<P.Place | null> = signal(null);
	readonly place: Signal<P.Place | null> = signal(null);
	readonly answer: Signal<P.Answer | null> = signal(null);
	/** Where neurons fire, as far as it was asked for. */
	readonly maps: Signal<ReadonlyMap<number, Bytes>> = signal(new Map());
	readonly #place = new Throttle<number[]>(60, ([row = 0, column = 0]) =>
		this.ask({ kind: "place", row, column }),
	);

	constructor(
		readonly ask: Ask,
		readonly news: Signal<string>,
	) {}

	/** Send a file, in pieces. One that is too large is refused by the kernel, without its bytes. */
	async bring(file: File): Promise<void> {
		const { name, size } = file;
		const pieces = Math.max(1, Math.ceil(size / P.PIECE_BYTES));
		const upload = `${Math.random()}`;
		this.coming.value = name;
		for (let piece = 0; piece < pieces; piece++) {
			const at = piece * P.PIECE_BYTES;
			const fits = size <= P.PHOTO_BYTES;
			const data = await file
				.slice(at, fits ? at + P.PIECE_BYTES : at)
				.arrayBuffer()
				// A folder, or a file that went away.
				.catch(() => new ArrayBuffer(0));
			this.ask({ kind: "bring", upload, name, piece, pieces: fits ? pieces : 99 }, [data]);
			if (!fits) return;
		}
	}

	/** Ask where a neuron fires. */
	show(layer: string, neuron: number): void {
		if (!this.maps.peek().has(neuron))
			this.ask({ kind: "map", target: channelTarget(layer, neuron) });
	}

	/** Ask which neurons fire most at a row and column. */
	point(place: number[]): void {
		this.#place.pushNow(place);
	}

	apply(message: P.ToPage, buffers: Views): void {
		const { photo } = this;
		if (message.kind === "put_away") this.clear();
		else if (message.kind === "looked") {
			this.clear();
			this.news.value = `${message.name}: neuron ${message.order[0]} is the most unusual`;
			photo.value = {
				...message,
				url: makeUrl(buffers[0] as DataView<ArrayBuffer>, "image/jpeg"),
			};
		} else if ("look" in message && message.look === photo.value?.look) {
			if (message.kind === "answer") this.answer.value = message;
			else if (message.kind === "map") this.#keep([message.target.neuron], buffers);
			else if (message.kind === "place") {
				this.#keep(message.neurons, buffers);
				(message.whole ? this.whole : this.place).value = message;
			}
		}
	}

	#keep(neurons: number[], buffers: Views): void {
		const maps = new Map(this.maps.value);
		neurons.forEach((neuron, i) => {
			if (buffers[i]) maps.set(neuron, bytesOf(buffers[i]));
		});
		this.maps.value = maps;
	}

	clear(): void {
		this.#place.cancel();
		dropUrl(this.photo.value?.url);
		this.coming.value = "";
		this.photo.value = this.whole.value = this.place.value = this.answer.value = null;
		this.maps.value = new Map();
	}
}
