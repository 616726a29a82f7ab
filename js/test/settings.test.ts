import { describe, expect, it, vi } from "vitest";
import type * as P from "../src/protocol";
import { DEFAULTS, differ, remade, describe as said } from "../src/render-settings";
import { DrawnPage, drawn } from "./drawn-page";
import { image, opened, selected, view } from "./helpers";

/** Settings that no page has seen: what is drawn comes from their description alone. */
vi.mock("../src/protocol", async (original) => {
	const plain = { low: null, high: null, step: null, task: null, choices: [] };
	const setting = (change: object): object => ({ ...plain, remakes: true, ...change });
	const choices = [
		{ name: "plain", label: "plain", help: "As it is." },
		{ name: "rich", label: "rich colours", help: "As it could be." },
	];
	return {
		...(await original<typeof P>()),
		SETTINGS: [
			setting({ name: "jitter", type: "integer", label: "Jitter", help: "How far.", default: 8 }),
			setting({ name: "decay", type: "number", label: "Decay", help: "d", default: 1, low: 0.5 }),
			setting({ name: "palette", type: "choice", label: "Palette", default: "plain", choices }),
			setting({
				...{ name: "past", type: "choice", label: "Past", default: "auto" },
				choices: ["auto", "on", "off"].map((name) => ({ name, label: name, help: `${name}.` })),
			}),
			setting({ name: "tiled", type: "boolean", label: "Tiled", help: "t", default: false }),
			setting({
				...{ name: "tiles", type: "boolean", label: "Tiles", help: "u", default: true },
				...{ remakes: false, task: "preview" },
			}),
		],
	};
});

const USUAL = { jitter: 8, decay: 1, palette: "plain", past: "auto", tiled: false, tiles: true };

describe("settings", () => {
	const page = new DrawnPage();
	const submit = (): void => {
		page
			.one("form[aria-label=Settings]")
			.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
	};
	const open = async (settings: P.Settings = USUAL): Promise<void> => {
		page.model.tell(opened());
		page.model.tell(selected(-1, 3));
		page.model.tell({ kind: "configured", settings });
		await drawn();
		await page.click("Settings");
	};
	const type = async (field: HTMLInputElement, text: string): Promise<void> => {
		field.value = text;
		field.dispatchEvent(new Event("input", { bubbles: true }));
		await drawn();
	};

	it("are drawn from their descriptions, each with its help", async () => {
		await open();
		const helpOf = (field: HTMLElement): string =>
			page.one(`[id="${field.getAttribute("aria-describedby")}"]`).textContent ?? "";
		const jitter = page.field<HTMLInputElement>("Jitter");
		expect([jitter.type, jitter.value, helpOf(jitter)]).toEqual(["number", "8", "How far."]);
		const decay = page.field<HTMLInputElement>("Decay");
		expect([decay.min, decay.max, decay.step]).toEqual(["0.5", "", "any"]);
		expect(page.field<HTMLInputElement>("Tiled").checked).toBe(false);
		const palette = page.field<HTMLSelectElement>("Palette");
		expect([...palette.options].map((o) => o.text)).toEqual(["plain", "rich colours"]);
		expect(helpOf(palette)).toBe("As it is.");
		palette.value = "rich";
		palette.dispatchEvent(new Event("change", { bubbles: true }));
		await drawn();
		expect(helpOf(palette)).toBe("As it could be.");
	});

	it("are sent all together, only when they changed, and only then images are made anew", async () => {
		await open();
		submit();
		expect(page.model.of("configure")).toEqual([]);
		const status = (): string => page.one(".nw-panel [role=status]").textContent ?? "";
		page.field<HTMLInputElement>("Tiles").click();
		await drawn();
		expect(status()).toBe("");
		await type(page.field("Jitter"), "9");
		expect(status()).toContain("Images are made anew");
		submit();
		const settings = { ...USUAL, jitter: 9, tiles: false };
		expect(page.model.of("configure")).toEqual([{ kind: "configure", settings }]);
		page.model.tell({ kind: "configured", settings });
		await drawn();
		expect(page.one(".nw-gallery").textContent).toContain("Previews are off");
		await page.click("Defaults");
		submit();
		expect(page.model.of("configure").at(-1)?.settings).toEqual(USUAL);
	});

	it("that are typed stay when the kernel says the same ones again, and go with others", async () => {
		await open();
		await type(page.field("Jitter"), "9");
		page.model.tell({ kind: "configured", settings: { ...USUAL } });
		await drawn();
		expect(page.field<HTMLInputElement>("Jitter").value).toBe("9");
		page.model.tell({ kind: "configured", settings: { ...USUAL, jitter: 4 } });
		await drawn();
		expect(page.field<HTMLInputElement>("Jitter").value).toBe("4");
	});

	it("of a picture stand below it, and tell whether it is this view's", async () => {
		await open({ ...USUAL, palette: "rich" });
		page.model.tell({ ...image(3), settings: USUAL }, [view(1)]);
		await drawn();
		expect(page.all(".nw-big")).toHaveLength(0);
		// One that it does not name has its default: it was added since.
		const { tiled: _, ...settings } = { ...USUAL, palette: "rich" };
		page.model.tell({ ...image(3), settings }, [view(1)]);
		await drawn();
		expect(page.one(".nw-settings").textContent).toContain(
			"jitter 8 · decay 1 · rich colours · 512 steps",
		);
	});

	it("that are left to the network are what it makes of them, within its limits", async () => {
		await open({ ...USUAL, jitter: 3 });
		const usual = { jitter: 3, past: "on" };
		const told = { ...USUAL, jitter: 3 };
		page.model.tell({ kind: "configured", settings: told, usual, limits: { jitter: [3, 3] } });
		await drawn();
		const jitter = page.field<HTMLInputElement>("Jitter");
		expect([jitter.value, jitter.min, jitter.max]).toEqual(["3", "3", "3"]);
		const button = (name: string): string | null | undefined =>
			page
				.all("button")
				.find((b) => b.textContent?.trim() === name)
				?.getAttribute("aria-disabled");
		expect([button("Apply"), button("Defaults")]).toEqual(["true", "true"]);
		for (const [past, same] of [
			["on", true],
			["off", false],
		] as const) {
			const made = { ...told, past };
			expect(remade(told, made, usual)).toBe(!same);
			page.model.tell({ ...image(3), settings: made }, [view(1)]);
			await drawn();
			expect(page.all(".nw-big")).toHaveLength(1); // the one that was made so stays
			expect(said(made, usual).includes("past off")).toBe(!same);
		}
		expect(said({ past: "on" })).toEqual([]);
	});

	it("are compared by what they are", () => {
		expect(DEFAULTS).toEqual(USUAL);
		expect(differ(USUAL, { ...USUAL })).toBe(false);
		expect([differ(USUAL, { ...USUAL, tiles: false }), remade(USUAL, { tiles: false })]).toEqual([
			true,
			false,
		]);
		expect(said({ tiled: true, tiles: false })).toEqual(["tiled"]);
	});
});
