/**
 * pageInfo: a word for each page, which tells the collector and free what is on the page without a look at its span.
 *
 *     31                                8 7           0
 *     +----------------------------------+------------+
 *     | address of the mark bits / 8     | span class |     a page of objects: at least PAGE_INFO_OBJECTS
 *     +----------------------------------+------------+
 *     | 0                                | 0 or 0xff  |     any other page: 0 was never heap, 0xff is PAGE_INFO_NONE
 *     +----------------------------------+------------+
 *
 * Mark bits stand above the nil page, so the upper 24 bits of a page of objects are not 0. They stand below 128 MiB
 * (MARK_BITS_LIMIT), so that 24 bits are enough: see span-bits.ts.
 *
 * Inner loops open-code these functions with the same constants.
 */

/** pageInfo of a page of the heap without objects: free, of a stack, or the collector's own. */
export const PAGE_INFO_NONE = 0xff;
/** The least pageInfo of a page of objects. */
export const PAGE_INFO_OBJECTS = 0x100;
/** The bits of the span class. */
export const PAGE_INFO_CLASS = 0xff;
/** pageInfo >>> this is the address of the mark bits / 8. */
export const PAGE_INFO_MARKS_SHIFT = 8;
/** log2 of the alignment of mark bits. */
export const MARK_BITS_ALIGN_SHIFT = 3;
/** (pageInfo >>> this) & PAGE_INFO_MARK_WORD is the index of the first word of the mark bits. */
export const PAGE_INFO_MARK_WORD_SHIFT = 7;
export const PAGE_INFO_MARK_WORD = 0x1fffffe;
/** Mark bits stand below this address: pageInfo has 24 bits for their address / 8. */
export const MARK_BITS_LIMIT = 1 << (32 - PAGE_INFO_MARKS_SHIFT + MARK_BITS_ALIGN_SHIFT);

/** pageInfo of a page of objects. */
export function makePageInfo(markBits: number, spanclass: number): number {
  return markBits * (1 << (PAGE_INFO_MARKS_SHIFT - MARK_BITS_ALIGN_SHIFT)) + spanclass;
}

/** Whether the page belongs to a span of objects. */
export function hasObjects(info: number): boolean {
  return info >= PAGE_INFO_OBJECTS;
}

/** The span class of a page of objects. */
export function spanClassOf(info: number): number {
  return info & PAGE_INFO_CLASS;
}

/** Address of the mark bits of a page of objects. */
export function markBitsOf(info: number): number {
  return (info >>> PAGE_INFO_MARKS_SHIFT) << MARK_BITS_ALIGN_SHIFT;
}

/** Index of the first word of the mark bits of a page of objects. */
export function markWordOf(info: number): number {
  return (info >>> PAGE_INFO_MARK_WORD_SHIFT) & PAGE_INFO_MARK_WORD;
}
