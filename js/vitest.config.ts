import { defineConfig } from "vitest/config";

export default defineConfig({
	oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
	define: { PANELS_KEY: JSON.stringify("test") },
	test: {
		environment: "happy-dom",
		include: ["test/**/*.test.{ts,tsx}"],
		// Some tests wait for real: on a busy machine the usual 5 s are not enough for them.
		testTimeout: 30_000,
	},
});
