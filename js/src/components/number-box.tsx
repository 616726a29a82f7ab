import { useState } from "preact/hooks";
import { clamp } from "../steps";

/** A number box that keeps what is being typed and hands over whole numbers in range. */
export function NumberBox(props: {
	name: string;
	value: number;
	min: number;
	max: number;
	onSet: (value: number) => void;
}) {
	const [draft, setDraft] = useState<string | null>(null);
	const { min, max } = props;
	return (
		<input
			class="nw-input nw-number"
			type="number"
			inputMode="numeric"
			aria-label={props.name}
			min={min}
			max={max}
			step={1}
			value={draft ?? String(props.value)}
			onInput={(e) => setDraft(e.currentTarget.value)}
			onChange={(e) => {
				const wanted = Math.round(Number(e.currentTarget.value));
				const text = e.currentTarget.value.trim();
				setDraft(null);
				// What cannot be read or is out of range goes back to what can be had.
				if (text !== "" && Number.isFinite(wanted)) props.onSet(clamp(wanted, min, max));
				e.currentTarget.value = String(
					text !== "" && Number.isFinite(wanted) ? clamp(wanted, min, max) : props.value,
				);
			}}
			onBlur={() => setDraft(null)}
		/>
	);
}
