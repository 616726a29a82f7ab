/**
 * Enter in a field sends its form. A browser does so by itself, but not inside JupyterLab, which
 * keeps the key.
 */
export function sendOnEnter(e: KeyboardEvent): void {
	const field = e.target as HTMLElement;
	if (e.key !== "Enter" || !field.matches("input:not([type=checkbox])")) return;
	e.preventDefault();
	(field as HTMLInputElement).form?.requestSubmit();
}
