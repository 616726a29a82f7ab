import { Choices } from "./components/choices";
import { Facets } from "./components/facets";
import { PhotoDialog } from "./components/photo-dialog";
import { Pinned } from "./components/pinned";
import { SettingsPanel } from "./components/settings-panel";
import { YourPhoto } from "./components/your-photo";
import type { Panels } from "./on-demand";

/** What panels.js brings. What of it widget.js has too is taken from there: see build.mjs. */
export const panels: Panels = {
	Choices,
	Facets,
	PhotoDialog,
	Pinned,
	SettingsPanel,
	YourPhoto,
};
