/** `clobberfree` fills freed objects with this word, as in Go: no pointer, count or text looks like it. */
export const CLOBBER_WORD = 0xdeadbeef;
