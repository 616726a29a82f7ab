/** The part of anywidget's model (0.11) that this page uses; marimo and a saved page have it too. */
export interface Model {
	get(name: string): unknown;
	send(content: unknown, callbacks?: unknown, buffers?: BufferSource[]): void;
	// biome-ignore lint/suspicious/noExplicitAny: the host decides what a callback gets
	on(name: string, callback: (...args: any[]) => void): void;
	// biome-ignore lint/suspicious/noExplicitAny: the same
	off(name: string, callback?: ((...args: any[]) => void) | null): void;
}
