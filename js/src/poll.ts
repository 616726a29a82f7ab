/** Silence after which the page asks: at first, and where background messages are known to come. */
export const SILENCE_MS = 2_000;
export const KNOWN_SILENCE_MS = 10_000;
const GAP_MS = 250;
/** A question that is not answered is asked again: the kernel may have been busy for long. */
const AGAIN_MS = 10_000;
/** So many answers without a pulse, and the host is one that shows nothing from the background. */
const SURE_AFTER = 8;

/**
 * Asks the kernel for what its background threads had to say, in hosts that show none of it (see
 * `Poll` in the protocol). It finds out by itself: when nothing is heard of running work for two
 * seconds it asks, and stops when a message from the background arrives after all.
 */
export class Poll {
	#timer: ReturnType<typeof setInterval> | null = null;
	#on = false;
	#heard: number;
	#asked = 0;
	#answers = 0;
	#arrives = false;

	constructor(
		readonly ask: (more: boolean) => void,
		readonly wanted: () => boolean,
		readonly clock: () => number = () => performance.now(),
	) {
		this.#heard = clock();
	}

	/** Whether the page asks at present. */
	get on(): boolean {
		return this.#on;
	}

	/** Something may be under way: look at it from now on. */
	poke(): void {
		if (this.#timer !== null) return;
		// Silence counts from here: nothing was expected before.
		this.#heard = this.clock();
		this.#timer = setInterval(() => this.#tick(), GAP_MS);
	}

	heard(kind: string): void {
		if (kind === "polled") {
			this.#asked = 0;
			this.#answers += 1;
		} else if (kind === "pulse") {
			this.#arrives = true;
			this.#answers = 0;
			if (this.#on) this.ask(false);
			this.#on = false;
			this.#asked = 0;
		}
		this.#heard = this.clock();
	}

	dispose(): void {
		if (this.#timer !== null) clearInterval(this.#timer);
		this.#timer = null;
	}

	#tick(): void {
		if (!this.wanted()) {
			// Else the kernel would hold what it says next, for questions that do not come.
			if (this.#on) this.ask(false);
			this.#on = false;
			this.dispose();
			return;
		}
		const now = this.clock();
		if (!this.#on) {
			const sure = this.#answers >= SURE_AFTER;
			const patience = sure ? 0 : this.#arrives ? KNOWN_SILENCE_MS : SILENCE_MS;
			if (now - this.#heard < patience) return;
			this.#on = true;
			this.#asked = 0;
		}
		if (this.#asked && now - this.#asked < AGAIN_MS) return;
		this.#asked = now;
		this.ask(true);
	}
}
