// The page's half of NeuronQuiz (neuron_widget/quiz.py), written by hand: no build, no imports.

const CONDITIONS = { synthetic: "rendered image", photos: "photos", both: "image and photos" };

/** An element with attributes, properties (className, textContent, ...) and children. */
function make(tag, settings = {}, ...children) {
	const element = document.createElement(tag);
	for (const [key, value] of Object.entries(settings)) {
		if (key in element) element[key] = value;
		else element.setAttribute(key, value);
	}
	element.append(...children);
	return element;
}

/** Whether the notebook around an element is dark. */
function isDark(start) {
	for (let node = start.parentNode; node; node = node.parentNode ?? node.host) {
		if (!(node instanceof Element)) continue;
		const jupyter = node.getAttribute("data-jp-theme-light");
		if (jupyter !== null) return jupyter === "false";
		const said = node.getAttribute("data-vscode-theme-kind") ?? node.getAttribute("theme");
		if (said !== null) return said.includes("dark") || said === "vscode-high-contrast";
		if (node.classList.contains("dark")) return true;
	}
	return matchMedia("(prefers-color-scheme: dark)").matches;
}

function format(value) {
	return Number(value).toLocaleString("en", { maximumSignificantDigits: 3 });
}

function render({ model, el }) {
	const leaving = new AbortController();
	const { signal } = leaving;
	const root = make("section", { className: "neuron-quiz", "aria-label": "Neuron quiz" });
	// JupyterLab's command-mode keys must not act on the notebook while the quiz has the focus.
	root.dataset.lmSuppressShortcuts = "true";
	const head = make("header", { className: "nq-head" });
	const body = make("div", { className: "nq-body" });
	const said = make("p", { className: "nq-said", role: "status" });
	root.append(head, body, said);
	el.append(root);

	let urls = [];
	let shownAt = performance.now();
	let waiting = false; // sent, and nothing came back yet

	function picture(bytes, alt) {
		const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
		urls.push(url);
		return make("img", { src: url, alt, draggable: false });
	}

	function send(kind, more = {}) {
		if (waiting) return;
		waiting = true;
		const question = model.get("question").number;
		model.send({ kind, question, ...more });
		setTimeout(() => {
			if (!waiting || signal.aborted) return;
			waiting = false;
			const text = "The kernel does not answer: it is busy or gone. Try again.";
			(body.querySelector(".nq-foot") ?? body.firstChild).append(
				make("strong", { className: "nq-wrong", role: "alert", textContent: text }),
			);
		}, 5000);
	}

	function choose(side) {
		if (model.get("answered").answer || !("left" in model.get("question"))) return;
		send("answer", { side, seconds: (performance.now() - shownAt) / 1000 });
	}

	function references(question) {
		const box = make("div", { className: "nq-references" });
		if (question.synthetic)
			box.append(
				make(
					"figure",
					{ className: "nq-synthetic" },
					make("figcaption", { textContent: "Rendered to fire it" }),
					picture(question.synthetic, `Rendered image, question ${question.number + 1}`),
				),
			);
		for (const [key, title] of [
			["most", "Fire it most"],
			["least", "Fire it least"],
		]) {
			if (!question[key]?.length) continue;
			const grid = make("div", { className: "nq-grid" });
			question[key].forEach((bytes, i) => grid.append(picture(bytes, `${title}, photo ${i + 1}`)));
			box.append(
				make(
					"figure",
					{ role: "group", "aria-label": title },
					make("figcaption", { textContent: title }),
					grid,
				),
			);
		}
		return box;
	}

	function choices(question) {
		const row = make("div", { className: "nq-choices", role: "group" });
		row.setAttribute("aria-label", "Which photo fires the neuron more?");
		for (const side of ["left", "right"]) {
			const name = side === "left" ? "Left photo" : "Right photo";
			const button = make(
				"button",
				{ type: "button", className: "nq-choice", onclick: () => choose(side) },
				picture(question[side], ""),
				make("span", {
					className: "nq-choice-name",
					textContent: side === "left" ? `← ${name}` : `${name} →`,
				}),
				make("span", { className: "nq-choice-score" }),
			);
			button.setAttribute("aria-label", name);
			button.dataset.side = side;
			row.append(button);
		}
		return row;
	}

	function table() {
		const rows = model.get("tally").map(({ condition, correct, answered }) =>
			make(
				"tr",
				{},
				make("th", { scope: "row", textContent: CONDITIONS[condition] ?? condition }),
				make("td", { textContent: answered ? `${correct} of ${answered}` : "–" }),
				make("td", {
					textContent: answered ? `${Math.round((100 * correct) / answered)} %` : "–",
				}),
			),
		);
		const names = ["References", "Correct", "Share"];
		return make(
			"table",
			{ className: "nq-table" },
			make("caption", { textContent: "Your answers (a coin would get 50 %)" }),
			make(
				"thead",
				{},
				make("tr", {}, ...names.map((n) => make("th", { scope: "col", textContent: n }))),
			),
			make("tbody", {}, ...rows),
		);
	}

	function showHead() {
		const { number, total, layer, condition } = model.get("question");
		const tally = model.get("tally");
		const correct = tally.reduce((sum, row) => sum + row.correct, 0);
		const answered = tally.reduce((sum, row) => sum + row.answered, 0);
		const title =
			number < total ? `Question ${number + 1} of ${total}` : `All ${total} questions answered`;
		head.replaceChildren(
			make("strong", { textContent: title }),
			make("span", {
				className: "nq-muted",
				textContent: condition ? `${layer} · references: ${CONDITIONS[condition]}` : layer,
			}),
			make("span", { className: "nq-score", textContent: `Score ${correct} of ${answered}` }),
		);
	}

	/** A new question; `hadFocus` when the keyboard was in here, and should stay. */
	function showQuestion() {
		waiting = false;
		const hadFocus = root.contains(root.getRootNode().activeElement);
		for (const url of urls) URL.revokeObjectURL(url);
		urls = [];
		const question = model.get("question");
		showHead();
		said.textContent = "";
		shownAt = performance.now();
		if ("left" in question) {
			const prompt = make("p", {
				className: "nq-prompt",
				tabIndex: -1,
				textContent: "Which of these two new photos fires the neuron more?",
			});
			const ask = make("div", { className: "nq-ask" }, prompt, choices(question));
			ask.append(make("div", { className: "nq-foot" }));
			body.replaceChildren(references(question), ask);
			showAnswer();
			if (hadFocus && !model.get("answered").answer) prompt.focus({ preventScroll: true });
		} else {
			const again = make("button", {
				type: "button",
				className: "nq-button",
				textContent: "Play again",
				onclick: () => send("restart"),
			});
			body.replaceChildren(make("div", { className: "nq-end" }, table(), again));
			if (hadFocus) again.focus({ preventScroll: true });
		}
	}

	function showAnswer() {
		waiting = false;
		const answered = model.get("answered");
		const { number, total } = model.get("question");
		const foot = body.querySelector(".nq-foot");
		showHead();
		if (!foot) return;
		const done = Boolean(answered.answer);
		for (const button of body.querySelectorAll(".nq-choice")) {
			const side = button.dataset.side;
			button.classList.toggle("nq-more", done && side === answered.fires_more);
			button.classList.toggle("nq-chosen", done && side === answered.answer);
			// Not `disabled`: that would drop the focus.
			button.setAttribute("aria-disabled", String(done));
			button.querySelector(".nq-choice-score").textContent = done
				? `${side === answered.fires_more ? "✓ " : ""}${format(answered[`${side}_score`])}`
				: "";
		}
		if (!done) {
			const hint = "Click a photo, or press ← or →.";
			foot.replaceChildren(make("span", { className: "nq-muted", textContent: hint }));
			return;
		}
		const verdict = answered.correct ? "Correct" : "Wrong";
		const text = `${verdict}: neuron ${answered.neuron} responds more to the ${answered.fires_more} photo.`;
		const next = make("button", {
			type: "button",
			className: "nq-button",
			textContent: number + 1 < total ? "Next question" : "See the score",
			onclick: () => send("next"),
		});
		const hadFocus = root.contains(root.getRootNode().activeElement);
		foot.replaceChildren(
			make("strong", {
				className: answered.correct ? "nq-right" : "nq-wrong",
				textContent: text,
				"aria-hidden": "true",
			}),
			next,
		);
		said.textContent = text;
		if (hadFocus) next.focus({ preventScroll: true });
	}

	root.addEventListener(
		"keydown",
		(event) => {
			if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
			const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
			if (!side) return;
			event.preventDefault();
			event.stopPropagation();
			choose(side);
		},
		{ signal },
	);

	const theme = () => {
		root.dataset.theme = isDark(root) ? "dark" : "light";
	};
	const watcher = new MutationObserver(theme);
	const attributeFilter = ["class", "theme", "data-jp-theme-light", "data-vscode-theme-kind"];
	watcher.observe(document.body, { attributes: true, attributeFilter });
	watcher.observe(document.documentElement, { attributes: true, attributeFilter });
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme, { signal });
	theme();

	// Traits that changed together are drawn once: the focus is where it was before all of them.
	let drawn = null;
	let due = false;
	function draw() {
		if (due) return;
		due = true;
		queueMicrotask(() => {
			due = false;
			if (signal.aborted) return;
			const question = model.get("question");
			if (question === drawn) showAnswer();
			else showQuestion();
			drawn = question;
		});
	}
	const traits = ["change:question", "change:answered", "change:tally"];
	for (const trait of traits) model.on(trait, draw);
	draw();

	return () => {
		leaving.abort();
		watcher.disconnect();
		for (const trait of traits) model.off(trait, draw);
		for (const url of urls) URL.revokeObjectURL(url);
	};
}

export default { render };
