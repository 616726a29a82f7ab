/**
 * What JSX becomes in the bundle: the classic call is smaller than the automatic runtime's, whose
 * every element names its `children`. build.mjs puts these two into every module that needs them,
 * under names that no variable there hides.
 */
export { createElement as jsxElement, Fragment as JsxFragment } from "preact";
