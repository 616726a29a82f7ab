import type { Where } from "../errors";
import { useView } from "../view-context";

/** What went wrong in one part of the widget, with its way out; or what it asks before it goes on. */
export function ErrorPanel({ where }: { where: Where }) {
	const { state, commands, name } = useView();
	const error = state.errors.at(where);
	if (!error) return null;
	const asks = error.action === "download";
	const title = `${name}-error-${where}`;
	// An error interrupts; a question waits, and is said aloud by the announcer.
	const role = asks
		? ({ role: "group", "aria-labelledby": title } as const)
		: ({ role: "alert" } as const);
	return (
		<div class={asks ? "nw-error nw-asks" : "nw-error"} {...role}>
			<strong class="nw-error-title" id={title}>
				{error.title}
			</strong>
			<p class="nw-error-message">{error.message}</p>
			<div class="nw-row">
				{error.action === "embedded" && (
					<button
						type="button"
						class="nw-button nw-primary"
						onClick={() => commands.openEmbedded()}
					>
						Open the embedded network
					</button>
				)}
				{asks && (
					<button
						type="button"
						class="nw-button nw-primary"
						onClick={() => commands.scan(error.dataset, true)}
					>
						Download and scan
					</button>
				)}
				{where !== "network" && (
					<button type="button" class="nw-button" onClick={() => commands.dismiss(where)}>
						{asks ? "Not now" : "Dismiss"}
					</button>
				)}
			</div>
			{error.traceback && (
				<details class="nw-details">
					<summary>Traceback</summary>
					{/* biome-ignore lint/a11y/noNoninteractiveTabindex: scrolled by keyboard */}
					<pre class="nw-traceback" tabIndex={0}>
						{error.traceback}
					</pre>
				</details>
			)}
		</div>
	);
}
