import { useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import { sameTarget } from "../target";
import { useView } from "../view-context";

/** How strongly neurons fire: as they do (empty), so many times, or always with their mean. */
const CHANGES = [
	["", "as it is"],
	["0", "off: zero"],
	["mean", "off: its mean over the data set"],
	["2", "twice as strong"],
	["5", "five times as strong"],
];

/** The network's five best classes for the photo, before and after neurons are changed. */
export function Answers() {
	const { state, name } = useView();
	const { looking, selection, pins } = state;
	const how = useSignal("");
	const pinned = useSignal(false);
	const { channel } = selection;
	const others = pins.list.value.filter(
		(pin) => pin.layer === channel.value.layer && !sameTarget(pin, channel.value),
	);
	const targets = [channel.value, ...(pinned.value ? others : [])];
	const question = JSON.stringify([looking.photo.value?.look, how.value, targets]);
	useLayoutEffect(() => {
		if (how.value)
			looking.ask({
				kind: "answer",
				question,
				targets,
				mean: how.value === "mean",
				times: Number(how.value) || 0,
			});
	}, [question]);
	const answer = looking.answer.value;
	// Else it is of another neuron or change, and the one that was asked for is on its way.
	const fits = how.value && answer?.question === question;
	const classes = answer?.classes.slice(0, fits ? undefined : 5) ?? [];
	return (
		<section class="nw-answers" aria-label="What the network answers">
			<h4 class="nw-subheading">What would change without it?</h4>
			<div class="nw-row">
				<label class="nw-label" for={`${name}-change`}>
					Neuron {channel.value.neuron}
				</label>
				<select
					id={`${name}-change`}
					class="nw-input"
					value={how.value}
					onChange={(e) => {
						how.value = e.currentTarget.value;
					}}
				>
					{CHANGES.map(([id, text]) => (
						<option key={id} value={id}>
							{text}
						</option>
					))}
				</select>
				{others.length > 0 && (
					<label class="nw-radio">
						<input
							type="checkbox"
							checked={pinned.value}
							onChange={(e) => {
								pinned.value = e.currentTarget.checked;
							}}
						/>
						<span>and those pinned</span>
					</label>
				)}
			</div>
			{answer?.note ? (
				<p class="nw-muted" role="status">
					{answer.note}
				</p>
			) : (
				<table aria-busy={how.value !== "" && !fits}>
					<thead>
						<tr>
							<th scope="col">Best classes</th>
							<th scope="col">{how.value ? "before" : "now"}</th>
							{how.value && <th scope="col">after</th>}
							{how.value && <th scope="col">change</th>}
						</tr>
					</thead>
					<tbody>
						{classes.map((c) => (
							<tr key={c.name}>
								<th scope="row">{c.name}</th>
								<td>{c.before}</td>
								{how.value && <td>{fits && c.after}</td>}
								{how.value && <td>{fits && c.change}</td>}
							</tr>
						))}
					</tbody>
				</table>
			)}
		</section>
	);
}
