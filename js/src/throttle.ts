/**
 * At most one call in every `gap` milliseconds, the newest value wins, the last is never lost.
 *
 * `push` waits for the next turn of the event loop even when nothing was sent lately: a key press
 * on a slider fires `input` and `change` together, and only the second should go out. `pushNow`
 * sends at once, unless it did so within the last `gap` (a held arrow key).
 */
export class Throttle<T> {
	#pending: { value: T; now: boolean } | null = null;
	#timer: ReturnType<typeof setTimeout> | null = null;
	#sent = Number.NEGATIVE_INFINITY;
	#sentNow = Number.NEGATIVE_INFINITY;

	constructor(
		readonly gap: number,
		readonly send: (value: T) => void,
		readonly clock: () => number = () => performance.now(),
	) {}

	push(value: T, now = false): void {
		this.#pending = { value, now };
		this.#timer ??= setTimeout(
			() => this.flush(),
			Math.max(0, this.#sent + this.gap - this.clock()),
		);
	}

	pushNow(value: T): void {
		this.push(value, true);
		if (this.clock() - this.#sentNow >= this.gap) this.flush();
	}

	/** Send what waits. */
	flush(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
		if (!this.#pending) return;
		const { value, now } = this.#pending;
		this.#pending = null;
		this.#sent = this.clock();
		if (now) this.#sentNow = this.#sent;
		this.send(value);
	}

	cancel(): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#timer = null;
		this.#pending = null;
	}
}
