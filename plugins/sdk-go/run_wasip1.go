package bandstand

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"
)

type rawCall struct {
	runID          rawList
	threadID       rawMaybe[rawList]
	userID         rawMaybe[rawList]
	workflow       rawList
	node           rawList
	visit          uint32
	attempt        uint32
	attemptsMax    uint32
	idempotencyKey rawList
	startedAt      rawList
	timeoutMs      uint32
	seed           uint32
	input          rawList
	context        rawList
}

type rawChoice struct {
	name       rawList
	confidence float64
	reason     rawMaybe[rawList]
}

type rawReview struct {
	title     rawList
	reason    rawList
	form      rawMaybe[rawList]
	propose   rawMaybe[rawList]
	timeoutMs rawMaybe[uint32]
	reviewers rawList
	quorum    uint32
}

type rawReply struct {
	output     rawList
	confidence rawMaybe[float64]
	// The case of the variant next: 0 edges, 1 goto, 2 choose, 3 review. Of its payloads the review is the largest; the other
	// two are a list and begin where it does.
	next   uint8
	review rawReview
}

type rawFailure struct {
	permanent  bool
	code       rawList
	message    rawList
	retryAfter rawMaybe[uint32]
	data       rawMaybe[rawList]
}

// The two cases of the result: both as large, and with the payload where the larger is aligned.
type rawReplied struct {
	failed bool
	reply  rawReply
}

type rawFailed struct {
	failed  bool
	_       [0]float64
	failure rawFailure
	_       [unsafe.Sizeof(rawReply{}) - unsafe.Sizeof(rawFailure{})]byte
}

//go:wasmimport bandstand:agent/log@0.1.0 last-words
func importLastWords(message unsafe.Pointer, messageSize uint32, backtrace unsafe.Pointer, backtraceSize uint32)

// exportRun is entered with the collector held since init, and leaves it held while the host reads the answer. The instance is
// thrown away afterwards, so nothing is freed.
//
//go:wasmexport bandstand:agent/node@0.1.0#run
func exportRun(at unsafe.Pointer) unsafe.Pointer {
	call := takeCall((*rawCall)(at))
	release()
	checked, err := guarded(call)
	hold()
	if err == nil {
		return lower(checked)
	}
	return lowerFailure(err.(*Failure))
}

// guarded runs the agent; a panic, and an error that is no failure, end the instance.
func guarded(call *Call) (*answered, error) {
	defer func() {
		if value := recover(); value != nil {
			crash(fmt.Sprint(value), string(debug.Stack()))
		}
	}()
	checked, err := answer(call)
	if message, backtrace, ends := lastWords(err); ends {
		crash(message, backtrace)
	}
	return checked, err
}

// crash says why and traps.
func crash(message, backtrace string) {
	hold()
	said, trace := lend(message), lend(backtrace)
	importLastWords(pointer(said.at), said.count, pointer(trace.at), trace.count)
	runtime.Breakpoint()
}

func takeCall(raw *rawCall) *Call {
	return &Call{
		RunID:          take(raw.runID),
		ThreadID:       takeMaybe(raw.threadID),
		UserID:         takeMaybe(raw.userID),
		Workflow:       take(raw.workflow),
		Node:           take(raw.node),
		Visit:          raw.visit,
		Attempt:        raw.attempt,
		AttemptsMax:    raw.attemptsMax,
		IdempotencyKey: take(raw.idempotencyKey),
		StartedAt:      take(raw.startedAt),
		Timeout:        time.Duration(raw.timeoutMs) * time.Millisecond,
		Seed:           raw.seed,
		InputJSON:      take(raw.input),
		ContextJSON:    take(raw.context),
	}
}

func takeSpan(raw rawMaybe[uint32]) time.Duration {
	if !raw.some {
		return 0
	}
	return time.Duration(raw.value) * time.Millisecond
}

func lendSpan(span time.Duration) rawMaybe[uint32] {
	if span <= 0 {
		return none[uint32]()
	}
	return some(milliseconds(span))
}

func lower(checked *answered) unsafe.Pointer {
	raw := &rawReplied{reply: rawReply{output: lend(checked.outputJSON)}}
	if checked.Confidence != nil {
		raw.reply.confidence = some(inUnit(*checked.Confidence))
	}
	switch {
	case checked.Goto != "":
		raw.reply.next = 1
		raw.reply.review.title = lend(checked.Goto)
	case checked.Choose != nil:
		raw.reply.next = 2
		raw.reply.review.title = lendList(checked.Choose, func(choice Choice) rawChoice {
			return rawChoice{lend(choice.Name), inUnit(choice.Confidence), lendWord(choice.Reason)}
		})
	case checked.Review != nil:
		review := checked.Review
		raw.reply.next = 3
		raw.reply.review = rawReview{
			title:     lend(review.Title),
			reason:    lend(review.Reason),
			form:      lendMaybe(checked.formJSON),
			propose:   lendMaybe(checked.proposeJSON),
			timeoutMs: lendSpan(review.Timeout),
			reviewers: lendTexts(review.Reviewers),
			quorum:    max(review.Quorum, 1),
		}
	}
	return pointer(lendAt(unsafe.Pointer(raw)))
}

func lowerFailure(failure *Failure) unsafe.Pointer {
	data, err := maybeJSON(failure.Data)
	if err != nil {
		text, _ := toJSON(err.Error())
		data = &text
	}
	return pointer(lendAt(unsafe.Pointer(&rawFailed{failed: true, failure: rawFailure{
		permanent:  !failure.Recoverable,
		code:       lend(failure.Code),
		message:    lend(failure.Message),
		retryAfter: lendSpan(failure.RetryAfter),
		data:       lendMaybe(data),
	}})))
}
