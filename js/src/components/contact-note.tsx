import { useView } from "../view-context";

/** Says so when the kernel does not answer. What is on screen stays. */
export function ContactNote() {
	const { state } = useView();
	const contact = state.contact.state.value;
	if (contact === "ok") return null;
	return (
		<p class={`nw-note nw-note-${contact}`} role="status">
			{contact === "busy" ? (
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
