package main

import "fmt"

// A text of words, and the count of each word.

const (
	vocabulary = 4000
	// slots of a table of counts: a power of two. A slot is the hash of a word and its count.
	slots      = 1 << 13
	tableWords = 2 * slots
)

func next(x uint32) uint32 { return x*1664525 + 1013904223 }

// newText makes n bytes of words and spaces. Frequent words are short.
func newText(n int) []byte {
	words := make([][]byte, vocabulary)
	x := uint32(12345)
	for w := range words {
		word := make([]byte, 2+10*w/vocabulary+1)
		for i := range word[1:] {
			x = next(x)
			word[i] = byte('a' + (x>>24)%26)
		}
		word[len(word)-1] = ' '
		words[w] = word
	}
	text := make([]byte, 0, n)
	for len(text) < n {
		x = next(x)
		r := uint64(x >> 16)
		word := words[r*r/65536*vocabulary/65536]
		text = append(text, word[:min(len(word), n-len(text))]...)
	}
	return text
}

// wordBegin is the first place from at on where a part of the text may begin: behind a space, or the end.
func wordBegin(text []byte, at int) int {
	for at > 0 && at < len(text) && text[at-1] != ' ' {
		at++
	}
	return at
}

// countWords counts the words of text in a table. Words with the same hash count as one.
func countWords(text []byte, table []uint32) {
	table = table[:tableWords]
	for at := 0; at < len(text); {
		h := uint32(0x811c9dc5)
		b := text[at]
		at++
		if b == ' ' {
			continue
		}
		for b != ' ' {
			h = (h ^ uint32(b)) * 0x01000193
			if at == len(text) {
				break
			}
			b = text[at]
			at++
		}
		slot := h & (slots - 1)
		for table[2*slot+1] != 0 && table[2*slot] != h {
			slot = (slot + 1) & (slots - 1)
		}
		table[2*slot] = h
		table[2*slot+1]++
	}
}

// wordTotals is the check: how many words there are, how many different ones, and how often the most frequent one
// occurs.
func wordTotals(tables []uint32) string {
	all := map[uint32]uint32{}
	for i := 0; i < len(tables); i += 2 {
		if tables[i+1] != 0 {
			all[tables[i]] += tables[i+1]
		}
	}
	sum, most := uint32(0), uint32(0)
	for _, n := range all {
		sum += n
		most = max(most, n)
	}
	return fmt.Sprintf("%d %d %d", sum, len(all), most)
}
