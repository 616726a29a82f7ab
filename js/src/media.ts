import { type Signal, signal } from "@preact/signals";
import { bytesOf } from "./buffers";
import { Lru } from "./lru";
import type * as P from "./protocol";
import { channelKey, channelOf, isWhole, targetKey } from "./target";
import { dropUrl, makeUrl } from "./urls";

export type Group = P.Enlarge["group"];

/** A finished (or stopped) picture. */
export interface Picture {
	url: string;
	/** As transparent as the gradient cared little for a place, where that is known. */
	alpha?: string;
	image: P.Image;
}

/** A gallery preview. */
export interface Thumb {
	url: string;
	finished: boolean;
}

/** A photo with its activation map. */
export interface Shot {
	photo: P.Photo;
	url: string;
	map: Uint8Array<ArrayBuffer>;
}

/** The photos of one neuron. */
export interface PhotoSet {
	info: P.Photos;
	most: Shot[];
	least: Shot[];
}

/** One photo, large. */
export interface LargeShot extends Shot {
	info: P.LargePhoto;
	crop: string;
}

const CACHED_TARGETS = 64;
const CACHED_LAYERS = 8;
const CACHED_LARGE = 32;

const largeKey = (target: P.Target, group: Group, rank: number): string =>
	`${channelKey(target)} ${group} ${rank}`;

type Tiles = Map<number, Signal<Thumb | null>>;

function empty(layer: Tiles): void {
	for (const tile of layer.values()) {
		dropUrl(tile.peek()?.url);
		tile.value = null;
	}
}

/**
 * Every picture that came from the kernel, bounded; what leaves gives its object URL back. Finished
 * images are of a target; previews and photos are of a whole neuron, and its units show them too.
 */
export class Media {
	readonly #pictures: Lru<Picture>;
	readonly #photos: Lru<PhotoSet>;
	readonly #large = new Lru<LargeShot>(CACHED_LARGE, (shot) => {
		dropUrl(shot.url);
		dropUrl(shot.crop);
	});
	readonly #thumbs = new Lru<Tiles>(CACHED_LAYERS, empty);

	/** `held` tells by key whose pictures and photos are not forgotten. */
	constructor(held: (key: string) => boolean = () => false) {
		const forget = (p: Picture): void => {
			dropUrl(p.url);
			dropUrl(p.alpha);
		};
		this.#pictures = new Lru<Picture>(CACHED_TARGETS, forget, held);
		const drop = (set: PhotoSet): void => {
			for (const shot of [...set.most, ...set.least]) dropUrl(shot.url);
		};
		this.#photos = new Lru<PhotoSet>(CACHED_TARGETS, drop, held);
	}

	/** The preview of one neuron; a signal each, so that one arrival redraws one tile. */
	thumb(layer: string, neuron: number): Signal<Thumb | null> {
		let tiles = this.#thumbs.peek(layer);
		if (!tiles) {
			tiles = new Map();
			this.#thumbs.set(layer, tiles);
		}
		let tile = tiles.get(neuron);
		if (!tile) {
			tile = signal(null);
			tiles.set(neuron, tile);
		}
		return tile;
	}

	/** The preview of a target, where the gallery has one: it shows whole neurons only. */
	preview(target: P.Target): Thumb | null {
		const { layer, neuron } = channelOf(target);
		return isWhole(target) ? this.thumb(layer, neuron).value : null;
	}

	picture(target: P.Target): Picture | undefined {
		return this.#pictures.get(targetKey(target));
	}

	/** The same without subscribing. */
	peekPicture(target: P.Target): Picture | undefined {
		return this.#pictures.peek(targetKey(target));
	}

	photos(target: P.Target): PhotoSet | undefined {
		return this.#photos.get(channelKey(target));
	}

	/** The photo at this place, large; undefined where another one has taken the place since. */
	largeShot(target: P.Target, group: Group, rank: number): LargeShot | undefined {
		const large = this.#large.get(largeKey(target, group, rank));
		const small = this.photos(target)?.[group].find((shot) => shot.photo.rank === rank);
		return small && large?.photo.index !== small.photo.index ? undefined : large;
	}

	/** Mark what belongs to a target as used now. */
	touch(target: P.Target): void {
		this.#thumbs.touch(channelOf(target).layer);
		this.#pictures.touch(targetKey(target));
		this.#photos.touch(channelKey(target));
	}

	addPicture(image: P.Image, data: DataView<ArrayBuffer>, alpha?: DataView<ArrayBuffer>): void {
		this.#pictures.set(targetKey(image.target), {
			url: makeUrl(data, "image/png"),
			...(alpha && { alpha: makeUrl(alpha, "image/png") }),
			image,
		});
	}

	addThumbs(message: P.Thumbs, buffers: DataView<ArrayBuffer>[]): void {
		message.neurons.forEach((neuron, i) => {
			const data = buffers[i];
			if (!data) return;
			const tile = this.thumb(message.layer, neuron);
			const old = tile.value;
			tile.value = {
				url: makeUrl(data, "image/jpeg"),
				finished: message.finished[i] ?? false,
			};
			dropUrl(old?.url);
		});
	}

	addPhotos(info: P.Photos, buffers: DataView<ArrayBuffer>[]): void {
		const shots = [...info.most, ...info.least].map((photo, i) => ({
			photo,
			url: makeUrl(buffers[i * 2] as DataView<ArrayBuffer>, "image/jpeg"),
			map: bytesOf(buffers[i * 2 + 1] as DataView<ArrayBuffer>),
		}));
		this.#photos.set(channelKey(info.target), {
			info,
			most: shots.slice(0, info.most.length),
			least: shots.slice(info.most.length),
		});
	}

	/** Forget what an ended scan found in other neurons of the layer while it went on. */
	settlePhotos({ target, scanned }: P.Photos): void {
		this.#photos.forget(({ info }) => info.target.layer === target.layer && info.scanned < scanned);
	}

	addLarge(info: P.LargePhoto, buffers: DataView<ArrayBuffer>[]): void {
		const [photo, map, crop] = buffers;
		if (!photo || !map || !crop) return;
		this.#large.set(largeKey(info.target, info.group, info.photo.rank), {
			info,
			photo: info.photo,
			url: makeUrl(photo, "image/jpeg"),
			map: bytesOf(map),
			crop: makeUrl(crop, "image/jpeg"),
		});
	}

	clearPhotos(): void {
		this.#photos.clear();
		this.#large.clear();
	}

	/** Forget what was rendered. Tiles on screen listen to their signals, which stay, emptied. */
	clearPictures(): void {
		this.#pictures.clear();
		for (const layer of this.#thumbs.values()) empty(layer);
	}

	clear(): void {
		this.clearPhotos();
		this.clearPictures();
	}
}
