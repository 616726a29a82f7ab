import { batch } from "@preact/signals";
import type { Connection } from "./connection";
import type { Where } from "./errors";
import type { Group } from "./media";
import type { PageState } from "./page-state";
import type { PhotoName, Target } from "./protocol";
import type { Choice } from "./selection";
import type { TaskName } from "./tasks";

/** What the person can do. Each shows on the page at once, and is sent to the kernel. */
export class Commands {
	constructor(
		readonly state: PageState,
		readonly connection: Connection,
	) {}

	viewReady(view: string): void {
		this.connection.ask({ kind: "ready", view });
	}

	viewVisible(view: string, visible: boolean, gone = false): void {
		this.connection.send({ kind: "visible", view, visible, gone });
	}

	/** Choose what is shown, or steps. `settled` is false while a slider is being dragged. */
	select(choice: Choice, settled: boolean): void {
		const { selection, errors, media } = this.state;
		batch(() => {
			selection.change(choice, settled);
			errors.remove("select");
		});
		media.touch(selection.target.value);
	}

	start(): void {
		this.connection.ask({ kind: "start", ...this.#aboutToRender() });
	}

	/** Go on from the present image. */
	more(): void {
		const steps = this.state.moreTo.value;
		if (!steps) return;
		this.connection.ask({ kind: "more", ...this.#aboutToRender(), steps });
	}

	#aboutToRender(): { target: Target; steps: number } {
		const { selection, tasks, errors } = this.state;
		selection.flush();
		tasks.render.asked.value = "start";
		errors.remove("render");
		return { target: selection.target.value, steps: selection.steps.value };
	}

	stop(task: TaskName): void {
		this.state.tasks[task].asked.value = "stop";
		this.state.tasks.news.value = "Stop requested";
		this.connection.ask({ kind: "stop", task });
	}

	/** Let a stopped task go on. */
	resume(task: TaskName): void {
		this.state.tasks[task].asked.value = "start";
		if (task === "render" || task === "scan") this.state.errors.remove(task);
		this.connection.ask({ kind: "resume", task });
	}

	/** Scan a data set, or with an empty name the present one. */
	scan(dataset: string, download = false): void {
		this.state.tasks.scan.asked.value = "start";
		this.state.errors.remove("scan");
		this.connection.ask({ kind: "scan", dataset, download });
	}

	/** Ask how far pictures predict the layer. */
	measure(): void {
		this.state.tasks.measure.asked.value = "start";
		this.connection.ask({ kind: "measure" });
	}

	/** Ask for the pictures that lie between two targets. */
	between(first: Target, last: Target): void {
		this.state.tasks.between.asked.value = "start";
		this.state.errors.remove("render");
		this.connection.ask({ kind: "between", first, last });
	}

	/** Ask what a photo would need to fire what is selected more. */
	accentuate(photo: PhotoName): void {
		const { errors, selection, strips, tasks } = this.state;
		tasks.accentuation.asked.value = "start";
		strips.asked.value = photo;
		errors.remove("render");
		this.connection.ask({ kind: "accentuate", target: selection.target.value, photo });
	}

	openEmbedded(): void {
		this.state.errors.remove("network");
		this.state.opening.value = "Opening the embedded network";
		this.connection.ask({ kind: "open_embedded" });
	}

	enlarge(group: Group, rank: number): void {
		if (this.state.largeShot(group, rank)) return;
		const target = this.state.selection.channel.value;
		this.connection.ask({ kind: "enlarge", target, group, rank });
	}

	/** Look at a photo that is shown, as at one that was brought. */
	bringShown(group: Group, rank: number): void {
		this.connection.ask({
			kind: "bring_shown",
			target: this.state.selection.channel.value,
			group,
			rank,
		});
	}

	inView(neurons: number[]): void {
		this.state.inView.tell(this.state.selection.layer.value, neurons);
	}

	dismiss(where: Exclude<Where, "network">): void {
		this.state.errors.remove(where);
		this.connection.send({ kind: "dismiss", where });
	}
}
