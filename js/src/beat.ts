import { batch, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";

const GAP_MS = 350;
// So much earlier where something else is drawn anyway.
const EARLY_MS = 100;

/**
 * Numbers that change many times a second and are read by a person: they are written three times a
 * second, all together, because every writing lays the page out and paints it anew.
 */
export class Beat {
	readonly #due = new Map<Signal<unknown>, unknown>();
	readonly #ends: (() => void)[] = [];
	#timer: ReturnType<typeof setTimeout> | undefined;
	#last = Number.NEGATIVE_INFINITY;

	/** What is written of a signal: with the beat where `same`, at once where it is another thing. */
	follow<T>(source: ReadonlySignal<T>, same: (before: T, now: T) => boolean): ReadonlySignal<T> {
		const written = signal(source.peek());
		this.#ends.push(
			effect(() => {
				const now = source.value;
				const before = written.peek();
				this.#due.delete(written as Signal<unknown>);
				if (now === before) return;
				if (same(before, now)) this.#soon(written as Signal<unknown>, now);
				else written.value = now;
			}),
		);
		return written;
	}

	/** Something is drawn just now: what is due soon is written with it. */
	join(): void {
		if (this.#due.size === 0 || performance.now() - this.#last < GAP_MS - EARLY_MS) return;
		clearTimeout(this.#timer);
		this.#write();
	}

	dispose(): void {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		for (const end of this.#ends) end();
	}

	#soon(written: Signal<unknown>, now: unknown): void {
		this.#due.set(written, now);
		this.#timer ??= setTimeout(
			() => this.#write(),
			Math.max(0, this.#last + GAP_MS - performance.now()),
		);
	}

	#write(): void {
		this.#timer = undefined;
		this.#last = performance.now();
		batch(() => {
			for (const [written, now] of this.#due) written.value = now;
		});
		this.#due.clear();
	}
}
