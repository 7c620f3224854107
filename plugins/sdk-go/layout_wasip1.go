package bandstand

import "unsafe"

// The files _wasip1.go are written by hand for wit/agent.wit. Without its comments and empty lines that had the SHA-256
//
//	aa4864a9ffce24cd4935766cc1bf987dc7117346cfd34b86d0461163ea9cafb4
//
// when they were last held against it. A test of the host fails when it changes: look them through (records, enums and variants by
// their order, functions by their parameters), then write the new digest here.

// What the component model says of each type's size, held against Go's. A mismatch does not compile.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(rawCall{})-100]
	_ = [1]struct{}{}[unsafe.Sizeof(rawChoice{})-32]
	_ = [1]struct{}{}[unsafe.Sizeof(rawReview{})-60]
	_ = [1]struct{}{}[unsafe.Sizeof(rawReply{})-88]
	_ = [1]struct{}{}[unsafe.Sizeof(rawReplied{})-96]
	_ = [1]struct{}{}[unsafe.Sizeof(rawFailure{})-40]
	_ = [1]struct{}{}[unsafe.Sizeof(rawFailed{})-96]
	_ = [1]struct{}{}[unsafe.Offsetof(rawFailed{}.failure)-8]
	_ = [1]struct{}{}[unsafe.Sizeof(rawError{})-28]
	_ = [1]struct{}{}[unsafe.Sizeof(rawEntry{})-24]
	_ = [1]struct{}{}[unsafe.Sizeof(rawRecorded{})-72]
	_ = [1]struct{}{}[unsafe.Sizeof(rawFact{})-80]
	_ = [1]struct{}{}[unsafe.Sizeof(rawHit{})-120]
	_ = [1]struct{}{}[unsafe.Sizeof(rawQuery{})-68]
	_ = [1]struct{}{}[unsafe.Sizeof(rawToolSpec{})-24]
	_ = [1]struct{}{}[unsafe.Sizeof(rawMessage{})-12]
	_ = [1]struct{}{}[unsafe.Sizeof(rawPart{})-28]
	_ = [1]struct{}{}[unsafe.Sizeof(rawToolCall{})-24]
	_ = [1]struct{}{}[unsafe.Sizeof(rawResponse{})-40]
	_ = [1]struct{}{}[unsafe.Sizeof(rawEvent{})-44]
	_ = [1]struct{}{}[unsafe.Sizeof(rawMaybe[rawEvent]{})-48]
)
