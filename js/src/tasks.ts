import { type Signal, signal } from "@preact/signals";
import type * as P from "./protocol";

export type Task = P.Progress["task"];

/** Whether a task runs or waits for its turn. */
export const isLive = (progress: P.Progress | null): boolean =>
	progress?.state === "running" || progress?.state === "waiting";

/** How far the kernel's tasks are, and what the person asked of them. */
export class Tasks {
	readonly progress: Record<Task, Signal<P.Progress | null>> = {
		render: signal(null),
		scan: signal(null),
		preview: signal(null),
	};
	/** What the person asked for and the kernel has not taken up yet. */
	readonly asked: Signal<"" | "render" | "scan" | "stop"> = signal("");
	/** The last thing worth saying aloud. */
	readonly news: Signal<string> = signal("");

	get busy(): boolean {
		return (
			this.asked.value === "render" ||
			this.asked.value === "scan" ||
			Object.values(this.progress).some((p) => isLive(p.value))
		);
	}

	apply(message: P.Progress): void {
		const before = this.progress[message.task].value;
		this.progress[message.task].value = message;
		const asked = this.asked.value;
		if (asked === message.task || (asked === "stop" && !isLive(message))) this.asked.value = "";
		if (message.task === "preview" || before?.state === message.state) return;
		const what =
			message.task === "render"
				? `Rendering ${message.layer} neuron ${message.neuron}`
				: "Scanning photos";
		this.news.value = `${what}: ${message.state}`;
	}

	/** Something of a rendering came: it is no longer merely asked for. */
	rendered(): void {
		if (this.asked.value === "render") this.asked.value = "";
	}

	clear(): void {
		this.asked.value = "";
		for (const progress of Object.values(this.progress)) progress.value = null;
	}
}
