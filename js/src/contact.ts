import { type Signal, signal } from "@preact/signals";

export type ContactState = "ok" | "busy" | "gone";

export const BUSY_AFTER_MS = 3_000;
export const GONE_AFTER_MS = 30_000;

/** Whether the kernel answers. Any message from it counts as an answer to everything asked. */
export class Contact {
	readonly state: Signal<ContactState> = signal("ok");
	#timers: ReturnType<typeof setTimeout>[] = [];

	/** A command went out. The clock runs from the first one that is unanswered. */
	asked(): void {
		if (this.#timers.length > 0) return;
		this.#timers = [
			setTimeout(() => {
				if (this.state.value === "ok") this.state.value = "busy";
			}, BUSY_AFTER_MS),
			setTimeout(() => {
				this.state.value = "gone";
			}, GONE_AFTER_MS),
		];
	}

	/** Something came from the kernel. */
	heard(): void {
		for (const timer of this.#timers) clearTimeout(timer);
		this.#timers = [];
		this.state.value = "ok";
	}

	/** Nothing can be sent any more. */
	lost(): void {
		this.dispose();
		this.state.value = "gone";
	}

	dispose(): void {
		for (const timer of this.#timers) clearTimeout(timer);
		this.#timers = [];
	}
}
