package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bandstand"
)

func TestTellsHowLongATextTakes(t *testing.T) {
	bandstand.FakeReset()
	output, err := run(bandstand.TestCall("{}"), Input{Text: strings.Repeat("word ", 201)})
	if err != nil || output != (Output{Words: 201, Minutes: 2}) {
		t.Fatal(output, err)
	}
	if logged := bandstand.FakeLogged(); !slices.Equal(logged, []string{`info counted {"words":201}`}) {
		t.Fatal(logged)
	}
}

func TestRefusesATextWithoutAWord(t *testing.T) {
	// From the input's JSON, as the host calls it.
	_, err := bandstand.Answer(bandstand.TestCall(`{"text": " "}`))
	var failure *bandstand.Failure
	if !errors.As(err, &failure) || failure.Code != "text-empty" {
		t.Fatal(err)
	}
}
