import { value } from "../format";
import { sameTarget, titleOf, wordOf } from "../target";
import { useView } from "../view-context";
import { ProgressRow } from "./progress-row";

/** Pictures of what is selected that are to differ: the sides of it that one picture hides. */
export function Facets() {
	const { state, commands } = useView();
	const target = state.selection.target.value;
	const count = Number(state.renderSettings.now.value?.facets ?? 1);
	if (state.saved || !(count > 1)) return null;
	const found = state.strips.of("facets", [target]);
	// While others are on their way, those of another number are no longer meant.
	const strip = found?.urls.length === count ? found : null;
	const task = state.tasks.facets;
	const now = task.progress.value;
	const p = now && sameTarget(now.target, target) && now.state !== "done" ? now : null;
	const picture = state.media.picture(target);
	const whole = picture && picture.image.step >= picture.image.steps;
	const name = titleOf(target, state.layerInfo.value);
	const forms = strip?.info.index !== undefined;
	const waits = !strip && !p && !task.busy.value;
	return (
		<section class="nw-facets" aria-label="Facets">
			<h3 class="nw-heading">
				Facets{" "}
				<span class="nw-muted nw-plain">
					{count} images of {name} that are to differ
					{strip && !forms && ", and what of the single image’s activation each keeps"}
				</span>
			</h3>
			{whole && picture.image.activation === 0 ? (
				<p class="nw-muted">
					The image does not fire this {wordOf(target, state.layerInfo.value)}: it has no other
					sides to show.
				</p>
			) : (
				<>
					<ul class="nw-facet-list" aria-busy={!strip}>
						{Array.from({ length: count }, (_, i) => {
							const worth = strip?.info.activation[0]?.[i];
							const share = strip?.info.shares[0]?.[i];
							return (
								<li key={i}>
									<div class="nw-image-box">
										{strip && (
											<img
												class="nw-image"
												src={strip.urls[i]}
												alt={`Facet ${i + 1} of ${name}`}
												decoding="sync"
											/>
										)}
									</div>
									<p class="nw-muted">
										{worth === undefined ? (
											"\u00a0"
										) : (
											<>
												{value(worth)}
												{share !== undefined && ` · ${Math.round(100 * share)} %`}
											</>
										)}
									</p>
								</li>
							);
						})}
					</ul>
					{p && <ProgressRow task="facets" p={p} />}
					{waits && !whole && <p class="nw-muted">They come when the image above is finished.</p>}
					{waits && whole && !state.gone.value && (
						<button
							type="button"
							class="nw-button nw-small nw-narrow"
							onClick={() => commands.resume("facets")}
						>
							Render the facets
						</button>
					)}
				</>
			)}
		</section>
	);
}
