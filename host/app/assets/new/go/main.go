// Tells how long a text takes to read.
package main

import (
	"strings"

	"bandstand"
)

// How fast people read.
const wordsPerMinute = 200

// Input is what a workflow gives. An input of another form fails the attempt with input-invalid.
type Input struct {
	Text string `json:"text"`
}

// Output is what it gets.
type Output struct {
	Words   int `json:"words"`
	Minutes int `json:"minutes"`
}

func init() { bandstand.Agent(run) }

// Never called: a component is entered by its exports.
func main() {}

func run(_ *bandstand.Call, input Input) (Output, error) {
	words := len(strings.Fields(input.Text))
	if words == 0 {
		return Output{}, bandstand.Permanent("text-empty", "`text` holds no word")
	}
	bandstand.Info("counted", "words", words)
	return Output{Words: words, Minutes: (words + wordsPerMinute - 1) / wordsPerMinute}, nil
}
