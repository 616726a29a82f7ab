/** The three questions of the notebook this widget grew from. */
export function WhatToLookFor() {
	return (
		<details class="nw-details nw-questions">
			<summary>What to look for</summary>
			<ol>
				<li>
					<strong>Do the synthetic image and the photos share motifs?</strong> If they do, the image
					shows what the neuron has learnt; if not, it may fire for several unlike things.
				</li>
				<li>
					<strong>Is the neuron sensitive to colour, texture, shape or structure?</strong> Compare
					the photos it fires for with those it ignores: what do all of the first have?
				</li>
				<li>
					<strong>Are its activation maps localised or diffuse?</strong> A few bright spots mean a
					part or an object; an even glow means a texture or a colour.
				</li>
			</ol>
		</details>
	);
}
