// Bundles into neuron_widget/static/ the page of the widget and that of the quiz, each one ES module
// and one style sheet, nothing loaded from elsewhere; and what a saved page needs beside the widget
// (page.js, page.css), or a saved notebook (saved.js). The same sources and lock file give the same bytes (CI compares them).
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Names that our own code alone reads: no message, no host, no element and no library has them. They
// become short ones in the bundle.
const OURS = [
	"selection",
	"media",
	"tasks",
	"picture",
	"moreTo",
	"forming",
	"soFar",
	"renderSettings",
	"layerInfo",
	"layerOf",
	"connection",
	"contact",
	"looking",
	"strength",
	"commands",
	"settingsOpen",
	"datasetOpen",
	"menuOpen",
	"previewsOff",
	"underWay",
	"inView",
	"liveFrame",
	"largeShot",
	"mapMode",
	"isDead",
	"drawnCurve",
	"renderRow",
	"scanRow",
	"previewRow",
	"measureRow",
	"peekPicture",
	"partly",
	"onSet",
	"news",
	"hovered",
	"clearPhotos",
	"clearPictures",
	"viewVisible",
	"viewReady",
	"openEmbedded",
	"bringShown",
	"askFigure",
	"applyFile",
	"applyLine",
	"applyTraits",
	"addPicture",
	"addPhotos",
	"addThumbs",
	"addLarge",
	"settlePhotos",
	"setNetwork",
	"setDataset",
];

const scripts = {
	absWorkingDir: here("."),
	outdir: here("../neuron_widget/static"),
	bundle: true,
	minify: true,
	format: "esm",
	target: "es2022",
	charset: "utf8",
	legalComments: "none",
	mangleProps: new RegExp(`^(${OURS.join("|")})$`),
	logLevel: "warning",
};

await build({
	...scripts,
	entryPoints: { widget: "src/index.ts", quiz: "src/quiz/index.tsx" },
	// Classic JSX makes the smaller bundle, but a tsconfig.json, where there is one, would decide.
	tsconfigRaw: {},
	jsx: "transform",
	jsxFactory: "jsxElement",
	jsxFragment: "JsxFragment",
	inject: ["src/jsx.ts"],
});

await build({ ...scripts, entryPoints: { page: "src/page/index.ts", saved: "src/page/saved.ts" } });

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

const made = ["widget", "quiz", "page"].flatMap((n) => [`${n}.js`, `${n}.css`]);
for (const name of [...made, "saved.js"]) {
	const { size } = await stat(here(`../neuron_widget/static/${name}`));
	console.log(`${name} ${(size / 1000).toFixed(1)} kB`);
}
