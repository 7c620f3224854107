package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"bandstand"
)

func failure(t *testing.T, input string) *bandstand.Failure {
	t.Helper()
	_, err := bandstand.Answer(bandstand.TestCall(input))
	var found *bandstand.Failure
	if !errors.As(err, &found) {
		t.Fatal(input, err)
	}
	return found
}

// R8.5
func TestCounts(t *testing.T) {
	bandstand.FakeReset()
	output, err := bandstand.Answer(bandstand.TestCall(`{"text": "One two. Two!"}`))
	if err != nil || !strings.Contains(output, `"words":3,"sentences":2,"paragraphs":1,"longest_word":"one","words_per_sentence":1.5`) {
		t.Error(output, err)
	}
	if logged := bandstand.FakeLogged(); len(logged) != 1 || logged[0] != `info counted {"words":3}` {
		t.Error(logged)
	}
}

// R8.5
func TestFailsAsAsked(t *testing.T) {
	if found := failure(t, `{"text": " - "}`); found.Code != "text-empty" || found.Recoverable {
		t.Error(found)
	}
	if found := failure(t, `{"text": "", "fail": "recoverable"}`); !found.Recoverable || found.RetryAfter != 1500*time.Millisecond {
		t.Error(found)
	}
	for _, input := range []string{`{}`, `{"text": 1}`, `{"text": "a", "fail": "x"}`} {
		if found := failure(t, input); found.Code != "input-invalid" {
			t.Error(input, found)
		}
	}
	defer func() {
		if value := recover(); value != "asked to crash" {
			t.Error(value)
		}
	}()
	_, _ = bandstand.Answer(bandstand.TestCall(`{"text": "", "fail": "crash"}`))
}
