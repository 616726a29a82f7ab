/** Object URLs for buffers, counted, so that a test can show that none leak. */

let live = 0;

/** An object URL for one buffer of a message. Its bytes are copied. */
export function makeUrl(data: DataView<ArrayBuffer>, type: string): string {
	live += 1;
	return URL.createObjectURL(new Blob([data], { type }));
}

/** Give an object URL back. An image that already shows it keeps showing it. */
export function dropUrl(url: string | undefined | null): void {
	if (!url) return;
	live -= 1;
	URL.revokeObjectURL(url);
}

/** How many object URLs this module holds. */
export const liveUrls = (): number => live;
