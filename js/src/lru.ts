import { type Signal, signal } from "@preact/signals";

/**
 * A bounded map that forgets what was used longest ago. Reading it inside a component subscribes
 * the component to changes; `drop` is called for every value that leaves.
 */
export class Lru<V> {
	#entries = new Map<string, V>();
	#version: Signal<number> = signal(0);

	constructor(
		readonly limit: number,
		readonly drop: (value: V) => void,
		/** What must not be forgotten, however long ago it was used. */
		readonly held: (key: string) => boolean = () => false,
	) {}

	get size(): number {
		return this.#entries.size;
	}

	/** The value, or undefined. Does not change the order (rendering must not have effects). */
	get(key: string): V | undefined {
		this.#version.value;
		return this.#entries.get(key);
	}

	/** The same without subscribing. */
	peek(key: string): V | undefined {
		return this.#entries.get(key);
	}

	values(): Iterable<V> {
		return this.#entries.values();
	}

	/** Mark as used now. */
	touch(key: string): void {
		const value = this.#entries.get(key);
		if (value === undefined) return;
		this.#entries.delete(key);
		this.#entries.set(key, value);
	}

	set(key: string, value: V): void {
		const old = this.#entries.get(key);
		this.#entries.delete(key);
		this.#entries.set(key, value);
		if (old !== undefined && old !== value) this.drop(old);
		for (const [oldest, lost] of this.#entries) {
			if (this.#entries.size <= this.limit) break;
			if (oldest === key || this.held(oldest)) continue;
			this.#entries.delete(oldest);
			this.drop(lost);
		}
		this.#version.value = this.#version.peek() + 1;
	}

	/** Forget the values that are so, but not what is held. */
	forget(so: (value: V) => boolean): void {
		const lost = [...this.#entries].filter(([key, value]) => so(value) && !this.held(key));
		if (lost.length === 0) return;
		for (const [key, value] of lost) {
			this.#entries.delete(key);
			this.drop(value);
		}
		this.#version.value = this.#version.peek() + 1;
	}

	clear(): void {
		for (const value of this.#entries.values()) this.drop(value);
		this.#entries.clear();
		this.#version.value = this.#version.peek() + 1;
	}
}
