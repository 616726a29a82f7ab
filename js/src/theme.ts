/** Dark or light, as the notebook around us says. */

export type Theme = "light" | "dark";

/** What one element says about the theme, or null. Each line is one host's way to say it. */
function saidBy(element: Element): Theme | null {
	const jupyter = element.getAttribute("data-jp-theme-light");
	if (jupyter !== null) return jupyter === "false" ? "dark" : "light";
	const vscode = element.getAttribute("data-vscode-theme-kind");
	// "vscode-high-contrast" is dark, "vscode-high-contrast-light" is not.
	if (vscode !== null)
		return vscode.includes("dark") || vscode === "vscode-high-contrast" ? "dark" : "light";
	const named = element.getAttribute("theme") ?? element.getAttribute("data-theme");
	if (named === "dark" || named === "light") return named;
	if (element.classList.contains("dark")) return "dark";
	if (element.classList.contains("light")) return "light";
	return null;
}

/** Walk up from an element, out of shadow roots, to the first that says what the theme is. */
export function themeOf(start: Element): Theme {
	let node: Node | null = start.parentNode;
	while (node) {
		if (node instanceof ShadowRoot) {
			node = node.host;
			continue;
		}
		if (node instanceof Element) {
			const said = saidBy(node);
			if (said) return said;
		}
		node = node.parentNode;
	}
	// Hosts may draw into an element first and put it into the page later.
	const page = saidBy(document.body) ?? saidBy(document.documentElement);
	if (page) return page;
	return globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Keep `data-theme` of `root` right until `signal` aborts; the answer looks again at once. */
export function followTheme(root: HTMLElement, signal: AbortSignal): () => void {
	const apply = (): void => {
		root.dataset.theme = themeOf(root);
	};
	const observer = new MutationObserver(apply);
	for (const element of [document.documentElement, document.body]) {
		observer.observe(element, {
			attributes: true,
			attributeFilter: [
				"class",
				"theme",
				"data-theme",
				"data-jp-theme-light",
				"data-vscode-theme-kind",
			],
		});
	}
	const query = globalThis.matchMedia?.("(prefers-color-scheme: dark)");
	query?.addEventListener("change", apply, { signal });
	signal.addEventListener("abort", () => observer.disconnect());
	apply();
	return apply;
}
