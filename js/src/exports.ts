import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";
import { targetKey } from "./target";
import { dropUrl, makeUrl } from "./urls";

/** What a person takes away: the kernel makes it, the page that asked saves it. */
export class Exports {
	readonly line: Signal<P.Line | null> = signal(null);
	/** The figure is being made. */
	readonly figure: Signal<boolean> = signal(false);
	readonly #asker = `page-${Math.random().toString(36).slice(2, 12)}`;

	constructor(
		readonly ask: (message: P.FromPage) => void,
		readonly save: (url: string, name: string) => void = saveUrl,
	) {}

	askLine(): void {
		this.line.value = null;
		this.ask({ kind: "line", asker: this.#asker });
	}

	askFigure(target: P.Target): void {
		this.figure.value = true;
		this.ask({ kind: "figure", asker: this.#asker, target });
	}

	applyLine(line: P.Line): void {
		if (line.asker === this.#asker) this.line.value = line;
	}

	applyFile(file: P.File, data: DataView<ArrayBuffer> | undefined): void {
		if (file.asker !== this.#asker || !data) return;
		this.figure.value = false;
		const url = makeUrl(data, file.mime);
		this.save(url, file.name);
		// The browser reads it soon after the click.
		setTimeout(() => dropUrl(url), 10_000);
	}
}

/** Let the browser save what lies behind an address. */
export function saveUrl(url: string, name: string): void {
	const link = document.createElement("a");
	link.href = url;
	link.download = name;
	document.body.append(link);
	link.click();
	link.remove();
}

/** A name for a file that every file system takes; as `file_name` in the kernel. */
export const fileName = (target: P.Target, what: string): string => {
	// A layer's name may hold a colon, what follows it does not.
	const key = targetKey(target);
	const [, layer = "", place = key] = /^(.*):(.*)$/.exec(key) ?? [];
	const plain = (text: string): string => text.replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 60);
	return `${plain(layer)}_${plain(place)}_${what}.png`;
};
