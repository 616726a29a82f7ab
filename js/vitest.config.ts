import { defineConfig } from "vitest/config";

export default defineConfig({
	oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
	define: { PANELS_KEY: JSON.stringify("test") },
	test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
