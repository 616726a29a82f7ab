// Bundles into neuron_widget/static/ the page of the widget and that of the quiz, each one ES module
// and one style sheet, nothing loaded from elsewhere; and what a saved page needs beside the widget
// (page.js, page.css). The same sources and lock file give the same bytes (CI compares them).
import { readFile, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const scripts = {
	absWorkingDir: here("."),
	outdir: here("../neuron_widget/static"),
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	charset: "utf8",
	legalComments: "none",
	logLevel: "warning",
};

/** Leaves out of elements what jsx.ts puts into each of them. */
const withoutRepetition = {
	name: "without-repetition",
	setup: ({ onLoad }) =>
		onLoad({ filter: /\.tsx$/ }, async ({ path }) => ({
			contents: (await readFile(path, "utf8"))
				.replaceAll(' type="button"', "")
				.replaceAll('\ttype="button"\n', "")
				.replace(/(?<= |\t)class="[^"]*"/g, (text) => text.replaceAll("nw-", "")),
			loader: "tsx",
		})),
};

// Names of ours that are long and often said: in no message, in no library, and none of the browser's.
const ours = [
	"addLarge",
	"addPhotos",
	"addPicture",
	"addThumbs",
	"applyFile",
	"applyLine",
	"applyTraits",
	"askFigure",
	"bringShown",
	"clearPhotos",
	"clearPictures",
	"commands",
	"contact",
	"datasetOpen",
	"drawnCurve",
	"expecting",
	"forming",
	"hovered",
	"inView",
	"isDead",
	"largeShot",
	"layerInfo",
	"liveFrame",
	"lookAtTheme",
	"looking",
	"mapMode",
	"media",
	"menuOpen",
	"openEmbedded",
	"opening",
	"peekPicture",
	"previewRow",
	"previewsOff",
	"pushNow",
	"refused",
	"renderRow",
	"renderSettings",
	"scanRow",
	"selection",
	"setDataset",
	"setNetwork",
	"settingsOpen",
	"strength",
	"strengths",
	"tasks",
	"underWay",
	"viewReady",
	"viewVisible",
];

await build({
	...scripts,
	plugins: [withoutRepetition],
	mangleProps: new RegExp(`^(${ours.join("|")})$`),
	entryPoints: { widget: "src/index.ts", quiz: "src/quiz/index.tsx" },
	// Classic JSX makes the smaller bundle, but a tsconfig.json, where there is one, would decide.
	tsconfigRaw: {},
	jsx: "transform",
	jsxFactory: "jsxElement",
	jsxFragment: "JsxFragment",
	inject: ["src/jsx.ts"],
});

// Once more: what is said over several functions (constants, arguments, single uses) is said once.
// Functions of Preact that could be arrows become such: none of them is called with `new`.
for (const name of ["widget", "quiz"]) {
	const file = here(`../neuron_widget/static/${name}.js`);
	const how = { passes: 4, unsafe_arrows: true };
	const text = await readFile(file, "utf8");
	const { code } = await minify(text, { module: true, ecma: 2020, compress: how });
	await writeFile(file, `${code}\n`);
}

await build({ ...scripts, entryPoints: { page: "src/page/index.ts" } });

await build({
	absWorkingDir: here("."),
	entryPoints: {
		widget: "src/style/index.css",
		quiz: "src/quiz/quiz.css",
		page: "src/page/page.css",
	},
	outdir: here("../neuron_widget/static"),
	bundle: true,
	minify: true,
	target: "es2022",
	charset: "utf8",
	logLevel: "warning",
});

for (const name of ["widget", "quiz", "page"].flatMap((n) => [`${n}.js`, `${n}.css`])) {
	const { size } = await stat(here(`../neuron_widget/static/${name}`));
	console.log(`${name} ${(size / 1000).toFixed(1)} kB`);
}
