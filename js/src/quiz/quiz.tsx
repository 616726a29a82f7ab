import { useLayoutEffect, useMemo } from "preact/hooks";
import { viewOf } from "../buffers";
import type { QuizAnswered, QuizQuestion, QuizTally } from "../protocol";
import { dropUrl, makeUrl } from "../urls";
import { type Game, isOpen, type Side } from "./game";

const CONDITIONS: Record<QuizTally["condition"], string> = {
	synthetic: "rendered image",
	photos: "photos",
	both: "image and photos",
};
const SCORE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** The quiz as it is now. */
export function Quiz({ game }: { game: Game }) {
	const { question, answered } = game.shown;
	const { number } = question;
	return (
		<>
			<Head game={game} />
			<div class="nq-body">
				{isOpen(question) ? (
					<>
						<References key={`references ${number}`} question={question} />
						<div key={`ask ${number}`} class="nq-ask">
							<p class="nq-prompt" tabIndex={-1}>
								Which of these two new photos fires the neuron more?
							</p>
							<Choices game={game} question={question} />
							<Foot game={game} />
						</div>
					</>
				) : (
					<div key="end" class="nq-end">
						<Table tally={game.shown.tally} />
						<button type="button" class="nq-button" onClick={() => game.restart()}>
							Play again
						</button>
						<Silent game={game} />
					</div>
				)}
			</div>
			{/* The verdict is read out from here; it is seen beside the button. */}
			<p class="nq-said" role="status">
				{answered && isOpen(question) && verdict(answered)}
			</p>
		</>
	);
}

const verdict = (a: QuizAnswered): string =>
	`${a.correct ? "Correct" : "Wrong"}: neuron ${a.neuron} responds more to the ${a.fires_more} photo.`;

function Head({ game }: { game: Game }) {
	const { question, tally } = game.shown;
	const { number, total, layer } = question;
	const correct = tally.reduce((sum, row) => sum + row.correct, 0);
	const answered = tally.reduce((sum, row) => sum + row.answered, 0);
	return (
		<header class="nq-head">
			<strong>
				{number < total ? `Question ${number + 1} of ${total}` : `All ${total} questions answered`}
			</strong>
			<span class="nq-muted">
				{isOpen(question) ? `${layer} · references: ${CONDITIONS[question.condition]}` : layer}
			</span>
			<span class="nq-score">{`Score ${correct} of ${answered}`}</span>
		</header>
	);
}

/** A picture out of its bytes. */
function Picture({ bytes, alt }: { bytes: BufferSource; alt: string }) {
	const url = useMemo(() => makeUrl(viewOf(bytes), "image/jpeg"), [bytes]);
	useLayoutEffect(() => () => dropUrl(url), [url]);
	return <img src={url} alt={alt} draggable={false} />;
}

/** What is known to fire the neuron, and what not. */
function References({ question }: { question: QuizQuestion }) {
	return (
		<div class="nq-references">
			{question.synthetic && (
				<div class="nq-reference nq-synthetic">
					<p class="nq-caption">Rendered to fire it</p>
					<Picture
						bytes={question.synthetic}
						alt={`Rendered image, question ${question.number + 1}`}
					/>
				</div>
			)}
			<Photos title="Fire it most" photos={question.most} />
			<Photos title="Fire it least" photos={question.least} />
		</div>
	);
}

function Photos({ title, photos }: { title: string; photos: BufferSource[] }) {
	if (photos.length === 0) return null;
	return (
		// biome-ignore lint/a11y/useSemanticElements: a fieldset is for form fields
		<div class="nq-reference" role="group" aria-label={title}>
			<p class="nq-caption">{title}</p>
			<div class="nq-grid">
				{photos.map((bytes, i) => (
					<Picture key={i} bytes={bytes} alt={`${title}, photo ${i + 1}`} />
				))}
			</div>
		</div>
	);
}

function Choices({ game, question }: { game: Game; question: QuizQuestion }) {
	return (
		// biome-ignore lint/a11y/useSemanticElements: a fieldset is for form fields
		<div class="nq-choices" role="group" aria-label="Which photo fires the neuron more?">
			<Choice game={game} side="left" bytes={question.left} />
			<Choice game={game} side="right" bytes={question.right} />
		</div>
	);
}

function Choice({ game, side, bytes }: { game: Game; side: Side; bytes: BufferSource }) {
	const { answered } = game.shown;
	const more = answered?.fires_more === side;
	const chosen = answered?.answer === side;
	return (
		<button
			type="button"
			class={`nq-choice${more ? " nq-more" : ""}${chosen ? " nq-chosen" : ""}`}
			// Not `disabled`: that would drop the focus.
			aria-disabled={answered !== null}
			onClick={() => game.choose(side)}
		>
			<Picture bytes={bytes} alt="" />
			<span>
				{side === "left" && <span aria-hidden="true">← </span>}
				<span class="nq-choice-name">{side === "left" ? "Left photo" : "Right photo"}</span>
				{side === "right" && <span aria-hidden="true"> →</span>}
			</span>
			<span class="nq-choice-score">
				{answered && `${more ? "✓ " : ""}${SCORE.format(answered[`${side}_score`])}`}
			</span>
		</button>
	);
}

/** How to answer; then whether it was right, and the way on. */
function Foot({ game }: { game: Game }) {
	const { question, answered } = game.shown;
	return (
		<div class="nq-foot">
			{answered ? (
				<>
					<strong class={answered.correct ? "nq-right" : "nq-wrong"} aria-hidden="true">
						{verdict(answered)}
					</strong>
					<button type="button" class="nq-button" onClick={() => game.next()}>
						{question.number + 1 < question.total ? "Next question" : "See the score"}
					</button>
				</>
			) : (
				<span class="nq-muted">Click a photo, or press ← or →.</span>
			)}
			<Silent game={game} />
		</div>
	);
}

function Silent({ game }: { game: Game }) {
	if (!game.silent) return null;
	return (
		<strong class="nq-wrong" role="alert">
			The kernel does not answer: it is busy or gone. Try again.
		</strong>
	);
}

function Table({ tally }: { tally: QuizTally[] }) {
	return (
		<table class="nq-table">
			<caption>Your answers (a coin would get 50 %)</caption>
			<thead>
				<tr>
					<th scope="col">References</th>
					<th scope="col">Correct</th>
					<th scope="col">Share</th>
				</tr>
			</thead>
			<tbody>
				{tally.map(({ condition, correct, answered }) => (
					<tr key={condition}>
						<th scope="row">{CONDITIONS[condition]}</th>
						<td>{answered ? `${correct} of ${answered}` : "–"}</td>
						<td>{answered ? `${Math.round((100 * correct) / answered)} %` : "–"}</td>
					</tr>
				))}
			</tbody>
		</table>
	);
}
