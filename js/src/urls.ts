/** Object URLs for buffers, counted, so that a test can show that none leak. */

let live = 0;

/** An object URL for one buffer of a message. The view's own part of the memory is copied. */
export function makeUrl(data: DataView, type: string): string {
	live += 1;
	// A DataView may lie anywhere in a larger message: its offset and length matter.
	const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
	return URL.createObjectURL(new Blob([bytes], { type }));
}

/** Give an object URL back. An image that already shows it keeps showing it. */
export function dropUrl(url: string | undefined | null): void {
	if (!url) return;
	live -= 1;
	URL.revokeObjectURL(url);
}

/** How many object URLs this module holds. */
export const liveUrls = (): number => live;

/** The bytes of one buffer, copied out of the message. */
export function bytesOf(data: DataView): Uint8Array<ArrayBuffer> {
	return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength).slice();
}
