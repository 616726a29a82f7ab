import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";
import { nameOf } from "./target";

export type TaskName = P.Progress["task"];

/** Whether a task runs, here or in another process, or waits for its turn. */
export const isLive = (progress: P.Progress | null): boolean =>
	["running", "waiting", "elsewhere"].includes(progress?.state ?? "");

/** One task of the kernel: how far it is, and what the person asked of it. */
export class Task {
	readonly progress: Signal<P.Progress | null> = signal(null);
	/** What the person asked for and the kernel has not taken up yet. */
	readonly asked: Signal<"" | "start" | "stop"> = signal("");
	/** It runs, waits or was asked for: there is something to stop, and something is to come. */
	readonly busy: ReadonlySignal<boolean> = computed(
		() => isLive(this.progress.value) || this.asked.value === "start",
	);

	apply(message: P.Progress): void {
		this.progress.value = message;
		if (this.asked.value === "start" || !isLive(message)) this.asked.value = "";
	}
}

const SAID = {
	scan: "Scanning photos",
	measure: "Measuring predictability",
	facets: "Facets",
	between: "Pictures between",
	accentuation: "From the photo",
};

/** How far the kernel's tasks are. */
export class Tasks implements Record<TaskName, Task> {
	readonly render = new Task();
	readonly scan = new Task();
	readonly preview = new Task();
	readonly measure = new Task();
	readonly facets = new Task();
	readonly between = new Task();
	readonly accentuation = new Task();
	/** The last thing worth saying aloud. */
	readonly news: Signal<string> = signal("");

	get busy(): boolean {
		return this.#all.some((task) => task.busy.value);
	}

	apply(message: P.Progress): void {
		const task = this[message.task];
		const before = task.progress.value;
		task.apply(message);
		if (message.task === "preview" || before?.state === message.state) return;
		const what =
			message.task === "render"
				? `Rendering ${message.target ? nameOf(message.target) : message.layer}`
				: SAID[message.task];
		this.news.value = `${what}: ${message.state === "elsewhere" ? message.note : message.state}`;
	}

	/** Nothing that was asked for is to come. */
	refused(): void {
		for (const task of this.#all) task.asked.value = "";
	}

	clear(): void {
		this.refused();
		for (const task of this.#all) task.progress.value = null;
	}

	get #all(): Task[] {
		const { render, scan, preview, measure, facets, between, accentuation } = this;
		return [render, scan, preview, measure, facets, between, accentuation];
	}
}
