import type * as P from "../protocol";

/** Base64 of the bytes of a picture or of maps. */
export type Bytes = string;

/** One photo of the data set, once however many neurons it fires. Empty `data`: left out. */
export interface SavedPhoto {
	label: string;
	path: string;
	data: Bytes;
}

/** What one neuron makes of a photo: number, score, peak, its row and column, what it can see. */
export type SavedShot = [
	photo: string,
	score: number,
	peak: number,
	row: number,
	column: number,
	left: number,
	top: number,
	right: number,
	bottom: number,
];

/** A neuron's photos; `maps`: a byte a position, those of `most` then of `least`, deflated. */
export interface SavedPhotos extends Omit<P.Photos, "most" | "least"> {
	most: SavedShot[];
	least: SavedShot[];
	maps: Bytes;
}

/** What a page holds of one neuron. */
export interface SavedNeuron {
	image?: P.Image & { data: Bytes };
	photos?: SavedPhotos;
}

/** What `neuron_widget/page/pack.py` writes into a saved page. */
export interface Saved {
	/** What was selected when the page was saved. */
	selected: P.Selected;
	/** Messages about the whole layer, as a kernel would send them. */
	messages: P.ToPage[];
	thumbs: P.Thumbs & { data: Bytes[] };
	neurons: Record<string, SavedNeuron>;
	photos: Record<string, SavedPhoto>;
	/** What the gallery is narrowed to, where the page holds a part of the layer. */
	filter: string;
	/** The neurons there is something of, where the gallery shows more. */
	holds?: string;
	/** The Python line of the view; `NEURON` in `other` stands for a number that is not 0. */
	line: { first: string; other: string; note: string };
}
