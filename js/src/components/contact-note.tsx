import { useView } from "../view";

/** Says so when the kernel does not answer. What is on screen stays. */
export function ContactNote() {
	const { store } = useView();
	const state = store.contact.state.value;
	if (state === "ok") return null;
	return (
		<p class={`nw-note nw-note-${state}`} role="status">
			{state === "busy" ? (
				<>
					<strong>The kernel is busy;</strong> what you asked for is done when the running cell
					ends.
				</>
			) : (
				<>
					<strong>No answer from the kernel.</strong> It may have been restarted: run the cell
					again. The images stay.
				</>
			)}
		</p>
	);
}
