/**
 * The word that `clobberfree` fills freed objects with, as in Go: a value that no pointer, count or text looks like.
 */
export const CLOBBER_WORD = 0xdeadbeef;
