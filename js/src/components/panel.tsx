import { useEffect } from "preact/hooks";
import type { PanelName } from "../on-demand";
import { useView } from "../view-context";

interface Props {
	name: PanelName;
	/** What it is called while it is on its way. */
	what: string;
	/** Whether the person has opened it. */
	wanted: boolean;
}

/** A part of the page that comes after the rest; until then the place says so, once it is wanted. */
export function Panel({ name, what, wanted }: Props) {
	const { onDemand } = useView().state;
	const Found = onDemand.panels.value?.[name];
	const missing = wanted && !Found;
	useEffect(() => {
		if (missing) onDemand.bring();
	}, [missing, onDemand]);
	if (Found) return <Found />;
	if (!missing) return null;
	const problem = onDemand.problem.value;
	if (!problem)
		return (
			<p class="nw-muted nw-coming" role="status">
				{what} is on its way from the kernel.
			</p>
		);
	return (
		<div class="nw-error" role="alert">
			<strong class="nw-error-title">{what} did not come</strong>
			<p class="nw-error-message">{problem}</p>
			<div class="nw-row">
				<button type="button" class="nw-button" onClick={() => onDemand.bring()}>
					Try again
				</button>
			</div>
		</div>
	);
}
