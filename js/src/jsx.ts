/**
 * What JSX becomes in the bundle: the classic call is smaller than the automatic runtime's, whose
 * every element names its `children`. build.mjs puts these two into every module that needs them,
 * under names that no variable there hides, and leaves out of the widget's elements what is the
 * same in each: the prefix of a class, and a button's type.
 */
import { createElement, type VNode } from "preact";

export { Fragment as JsxFragment } from "preact";

type Element = (type: string, props: Record<string, unknown> | null, ...children: never[]) => VNode;

export const jsxElement: Element = (type, props, ...children) => {
	if (type === "button" && props) props.type = type;
	if (typeof props?.class === "string")
		props.class = props.class.replace(/(?<![^ ])(?!nw-|nq-)/g, "nw-");
	return createElement(type, props, ...children);
};
