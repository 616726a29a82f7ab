import { type Signal, signal } from "@preact/signals";
import {
	type Configured,
	type FromPage,
	type Image,
	SETTINGS,
	type Setting,
	type Settings,
} from "./protocol";
import type { TaskName } from "./tasks";

type Value = Settings[string];

/** What each setting is where nobody chose. */
export const DEFAULTS: Settings = Object.fromEntries(SETTINGS.map((s) => [s.name, s.default]));

/** The value of a setting that is left to the network. */
const AUTO = "auto";

const REMAKING = SETTINGS.filter((setting) => setting.remakes);

/** What a setting comes to. One that is not named has its default, as in older results. */
function meant(settings: Settings, { name, default: usual }: Setting, network: Settings): Value {
	const value = settings[name] ?? usual;
	return value === usual ? (network[name] ?? value) : value;
}

/** Whether any setting differs; `network`: what those come to that are left to the network. */
export const differ = (
	a: Settings,
	b: Settings,
	network: Settings = {},
	settings = SETTINGS,
): boolean => settings.some((s) => meant(a, s, network) !== meant(b, s, network));

/** Whether images made with the one are not those made with the other. */
export const remade = (a: Settings, b: Settings, network: Settings = {}): boolean =>
	differ(a, b, network, REMAKING);

/** The settings that made a picture, in a few words each: "size 224", "centre unit". */
export function describe(settings: Settings, network: Settings = {}): string[] {
	return REMAKING.filter(({ name }) => settings[name] !== undefined).flatMap((setting) => {
		const value = settings[setting.name] as Value;
		const label = setting.label.toLowerCase();
		// Numbers always; of what is chosen or switched only what is not as usual.
		if (typeof value === "number") return [`${label} ${value}`];
		const auto = setting.default === AUTO;
		if (value === setting.default || value === (network[setting.name] ?? (auto && "on"))) return [];
		if (typeof value === "boolean") return [value ? label : `no ${label}`];
		const chosen = setting.choices?.find((choice) => choice.name === value)?.label || value;
		return [auto ? `${label} ${chosen}` : chosen];
	});
}

/** How images are made now. A picture made otherwise is not this view's. */
export class RenderSettings {
	readonly now: Signal<Settings | null> = signal(null);
	/** What those come to that are left to the network. */
	readonly usual: Signal<Settings> = signal({});
	/** Lowest and highest value, where the network's range is narrower. */
	readonly limits: Signal<Record<string, number[]>> = signal({});

	constructor(readonly ask: (message: FromPage) => void) {}

	/** Ask the kernel to make images so. */
	change(settings: Settings): void {
		this.ask({ kind: "configure", settings });
	}

	/** Take up what the kernel says; whether the pictures on the page were made otherwise. */
	apply({ settings, usual = {}, limits = {} }: Configured): boolean {
		const before = this.now.value;
		// What is typed is of the settings it began from: the same ones, said again, are no others.
		if (!before || differ(before, settings)) this.now.value = settings;
		this.usual.value = usual;
		this.limits.value = limits;
		return before !== null && remade(before, settings, usual);
	}

	fits(image: Image): boolean {
		const now = this.now.value;
		return now === null || !remade(now, image.settings, this.usual.value);
	}

	/** What each is where nobody chose, on this network. */
	get defaults(): Settings {
		const usual = Object.entries(this.usual.value);
		return {
			...DEFAULTS,
			...Object.fromEntries(usual.filter(([name]) => DEFAULTS[name] !== AUTO)),
		};
	}

	/** Whether a task was switched off. */
	off(task: TaskName): boolean {
		const now = this.now.value;
		return SETTINGS.some((setting) => setting.task === task && now?.[setting.name] === false);
	}
}
