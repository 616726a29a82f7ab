/** URLs for buffers, counted, so that a test can show that none leak. */

import { bytesOf } from "./buffers";

let live = 0;

// What is so small is written into its URL: a tile of the gallery costs half as much to show as one
// that the page has to ask the browser's other processes for.
const IN_URL = 8192;

/** A URL for one buffer of a message. Its bytes are copied. */
export function makeUrl(data: DataView<ArrayBuffer>, type: string): string {
	live += 1;
	if (data.byteLength <= IN_URL)
		return `data:${type};base64,${btoa(String.fromCharCode(...bytesOf(data)))}`;
	return URL.createObjectURL(new Blob([data], { type }));
}

/** Give a URL back. An image that already shows it keeps showing it. */
export function dropUrl(url: string | undefined | null): void {
	if (!url) return;
	live -= 1;
	if (url.startsWith("blob:")) URL.revokeObjectURL(url);
}

/** How many URLs this module holds. */
export const liveUrls = (): number => live;
