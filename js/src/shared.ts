/**
 * What panels.js takes of widget.js, so that both draw with one Preact and know one state: build.mjs
 * finds out what that is and puts it here.
 */
export const shared = (): unknown[] => [];
