// Command stats counts the words, sentences and paragraphs of a document. What it counts is laid down in ../README.md.
package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bandstand"
)

const frequentMax = 5

// Input is what the agent is given.
type Input struct {
	Text string `json:"text"`
	// Fail ends the call another way, so that hosts can be tried out.
	Fail string `json:"fail,omitempty" oneof:"recoverable permanent crash spin hoard"`
}

// Frequent is a word and how often it comes.
type Frequent struct {
	Word  string `json:"word"`
	Count int    `json:"count"`
}

// Output is what the agent replies.
type Output struct {
	Characters       int        `json:"characters"`
	Words            int        `json:"words"`
	Sentences        int        `json:"sentences"`
	Paragraphs       int        `json:"paragraphs"`
	LongestWord      string     `json:"longest_word"`
	WordsPerSentence float64    `json:"words_per_sentence"`
	Frequent         []Frequent `json:"frequent"`
}

func init() { bandstand.Agent(run) }

func main() {}

func run(_ *bandstand.Call, input Input) (Output, error) {
	switch input.Fail {
	case "recoverable":
		return Output{}, bandstand.Recoverable("try-later", "asked to fail for now", 1500*time.Millisecond)
	case "permanent":
		return Output{}, bandstand.Permanent("asked-to-fail", "asked to fail for good")
	case "crash":
		panic("asked to crash")
	case "spin":
		for {
		}
	case "hoard":
		for hoard := [][]byte{}; ; {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	}
	words, sentences := findWords(input.Text)
	if len(words) == 0 {
		return Output{}, bandstand.Permanent("text-empty", "`text` holds no word")
	}
	bandstand.Info("counted", "words", len(words))
	longest := words[0]
	for _, word := range words {
		if len(word) > len(longest) {
			longest = word
		}
	}
	return Output{
		Characters:       utf8.RuneCountInString(input.Text),
		Words:            len(words),
		Sentences:        sentences,
		Paragraphs:       countParagraphs(input.Text),
		LongestWord:      longest,
		WordsPerSentence: hundredths(len(words), sentences),
		Frequent:         findFrequent(words),
	}, nil
}

var word = regexp.MustCompile(`[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*`)

// findWords gives the words of a text, folded, and how many pieces between stops hold one.
func findWords(text string) (words []string, sentences int) {
	stop := func(char rune) bool { return strings.ContainsRune(".!?", char) }
	for piece := range strings.FieldsFuncSeq(text, stop) {
		found := word.FindAllString(piece, -1)
		if len(found) > 0 {
			sentences++
		}
		for _, each := range found {
			words = append(words, strings.ToLower(each))
		}
	}
	return words, sentences
}

// countParagraphs tells how many runs of lines there are that are not blank.
func countParagraphs(text string) int {
	paragraphs, before := 0, false
	for line := range strings.SplitSeq(text, "\n") {
		filled := strings.Trim(line, " \t\r") != ""
		if filled && !before {
			paragraphs++
		}
		before = filled
	}
	return paragraphs
}

// hundredths is the quotient with two decimals, half up. In whole numbers, so that every language gives the same.
func hundredths(dividend, divisor int) float64 {
	return float64((dividend*200+divisor)/(divisor*2)) / 100
}

// findFrequent gives the words that come most often; of those as frequent, the alphabet's first.
func findFrequent(words []string) []Frequent {
	counts := map[string]int{}
	for _, each := range words {
		counts[each]++
	}
	found := make([]Frequent, 0, len(counts))
	for each, count := range counts {
		found = append(found, Frequent{each, count})
	}
	slices.SortFunc(found, func(a, b Frequent) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Word, b.Word))
	})
	return found[:min(len(found), frequentMax)]
}
