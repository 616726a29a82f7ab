import { type Signal, signal } from "@preact/signals";
import { type Configured, type FromPage, type Image, SETTINGS, type Settings } from "./protocol";
import type { TaskName } from "./tasks";

/** What each setting is where nobody chose. */
export const DEFAULTS: Settings = Object.fromEntries(SETTINGS.map((s) => [s.name, s.default]));

const REMAKING = SETTINGS.filter((setting) => setting.remakes);

/** Whether any setting differs. One that is not named has its default, as in older results. */
export const differ = (a: Settings, b: Settings, settings = SETTINGS): boolean =>
	settings.some(({ name, default: usual }) => (a[name] ?? usual) !== (b[name] ?? usual));

/** Whether images made with the one are not those made with the other. */
export const remade = (a: Settings, b: Settings): boolean => differ(a, b, REMAKING);

/** The settings that made a picture, in a few words each: "size 224", "centre unit". */
export function describe(settings: Settings): string[] {
	return REMAKING.filter(({ name }) => settings[name] !== undefined).flatMap((setting) => {
		const value = settings[setting.name] as Settings[string];
		const label = setting.label.toLowerCase();
		// Numbers always; of what is chosen or switched only what is not as usual.
		if (typeof value === "number") return [`${label} ${value}`];
		if (value === setting.default) return [];
		if (typeof value === "boolean") return [value ? label : `no ${label}`];
		return [setting.choices.find((choice) => choice.name === value)?.label || value];
	});
}

/** How images are made now. A picture made otherwise is not this view's. */
export class RenderSettings {
	readonly now: Signal<Settings | null> = signal(null);

	constructor(readonly ask: (message: FromPage) => void) {}

	/** Ask the kernel to make images so. */
	change(settings: Settings): void {
		this.ask({ kind: "configure", settings });
	}

	/** Take up what the kernel says; whether the pictures on the page were made otherwise. */
	apply({ settings }: Configured): boolean {
		const before = this.now.value;
		this.now.value = settings;
		return before !== null && remade(before, settings);
	}

	fits(image: Image): boolean {
		return this.now.value === null || !remade(this.now.value, image.settings);
	}

	/** Whether a task was switched off. */
	off(task: TaskName): boolean {
		const now = this.now.value;
		return SETTINGS.some((setting) => setting.task === task && now?.[setting.name] === false);
	}
}
