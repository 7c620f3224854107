package bandstand

import (
	"encoding/json"
	"unsafe"
)

// The interfaces that need a grant. What the agent does not call the linker drops, and with it the import.

type rawEntry struct {
	action  rawList
	payload rawList
	tags    rawList
}

type rawRecorded struct {
	id       rawList
	at       rawList
	userID   rawMaybe[rawList]
	threadID rawMaybe[rawList]
	source   rawList
	entry    rawEntry
}

type rawFact struct {
	text       rawList
	kind       rawList
	tags       rawList
	userID     rawMaybe[rawList]
	salience   float64
	confidence float64
	source     rawList
	embedding  rawMaybe[rawList]
}

type rawHit struct {
	id       rawList
	score    float64
	at       rawList
	threadID rawMaybe[rawList]
	fact     rawFact
}

type rawQuery struct {
	text      rawList
	mode      SearchMode
	embedding rawMaybe[rawList]
	tags      rawList
	kinds     rawList
	userID    rawMaybe[rawList]
	threadID  rawMaybe[rawList]
	limit     uint32
}

//go:wasmimport bandstand:agent/memory-audit@0.1.0 append
func importAuditAppend(action, actionSize, payload, payloadSize, tags, tagsCount uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-audit@0.1.0 snapshot
func importAuditSnapshot(limit uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-facts@0.1.0 put
func importFactsPut(facts, count uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-facts@0.1.0 search
func importFactsSearch(query, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-facts@0.1.0 forget
func importFactsForget(id, idSize uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-facts@0.1.0 reflect
func importFactsReflect(id, idSize uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-facts@0.1.0 consolidate
func importFactsConsolidate(result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-slots@0.1.0 get
func importSlotGet(name, nameSize uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-slots@0.1.0 set
func importSlotSet(name, nameSize, value, valueSize uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/memory-slots@0.1.0 list
func importSlotList(result unsafe.Pointer)

//go:wasmimport bandstand:agent/tools@0.1.0 list
func importToolsList(result unsafe.Pointer)

//go:wasmimport bandstand:agent/tools@0.1.0 call
func importToolsCall(name, nameSize, arguments, argumentsSize uint32, result unsafe.Pointer)

func hostAuditAppend(action, payload string, tags []string) (string, error) {
	hold()
	defer release()
	result, did, details, words := newArea(), lend(action), lend(payload), lendTexts(tags)
	importAuditAppend(did.at, did.count, details.at, details.count, words.at, words.count, result.at())
	return got(result, take)
}

func hostAuditSnapshot(limit uint32) ([]Recorded, error) {
	hold()
	defer release()
	result := newArea()
	importAuditSnapshot(limit, result.at())
	return got(result, func(raw rawList) []Recorded {
		return takeList(raw, func(each rawRecorded) Recorded {
			return Recorded{
				take(each.id), take(each.at), takeMaybe(each.userID), takeMaybe(each.threadID), take(each.source),
				take(each.entry.action), takeJSON(each.entry.payload), takeTexts(each.entry.tags),
			}
		})
	})
}

func hostFactsPut(facts []Fact) ([]string, error) {
	hold()
	defer release()
	result, list := newArea(), lendList(facts, func(fact Fact) rawFact {
		return rawFact{
			lend(fact.Text), lend(fact.Kind), lendTexts(fact.Tags), lendMaybe(fact.UserID), inUnit(fact.Salience),
			inUnit(fact.Confidence), lend(fact.Source), lendVector(fact.Embedding),
		}
	})
	importFactsPut(list.at, list.count, result.at())
	return got(result, takeTexts)
}

func hostFactsSearch(query Query) ([]Hit, error) {
	hold()
	defer release()
	result, raw := newArea(), &rawQuery{
		lend(query.Text), query.Mode, lendVector(query.Embedding), lendTexts(query.Tags), lendTexts(query.Kinds),
		lendMaybe(query.UserID), lendMaybe(query.ThreadID), query.Limit,
	}
	importFactsSearch(pointer(lendAt(unsafe.Pointer(raw))), result.at())
	return got(result, func(raw rawList) []Hit {
		return takeList(raw, func(each rawHit) Hit {
			fact := each.fact
			return Hit{take(each.id), each.score, take(each.at), takeMaybe(each.threadID), Fact{
				take(fact.text), take(fact.kind), takeTexts(fact.tags), takeMaybe(fact.userID), fact.salience, fact.confidence,
				take(fact.source), takeVector(fact.embedding),
			}}
		})
	})
}

func hostFactsForget(id string) error {
	hold()
	defer release()
	result, name := newArea(), lend(id)
	importFactsForget(name.at, name.count, result.at())
	return result.refused()
}

func hostFactsReflect(entryID string) ([]string, error) {
	hold()
	defer release()
	result, name := newArea(), lend(entryID)
	importFactsReflect(name.at, name.count, result.at())
	return got(result, takeTexts)
}

func hostFactsConsolidate() (uint32, error) {
	hold()
	defer release()
	result := newArea()
	importFactsConsolidate(result.at())
	return got(result, func(gone uint32) uint32 { return gone })
}

func hostSlotGet(name string) (json.RawMessage, error) {
	hold()
	defer release()
	result, said := newArea(), lend(name)
	importSlotGet(said.at, said.count, result.at())
	return got(result, func(raw rawMaybe[rawList]) json.RawMessage {
		if !raw.some {
			return nil
		}
		return takeJSON(raw.value)
	})
}

func hostSlotSet(name, value string) error {
	hold()
	defer release()
	result, said, text := newArea(), lend(name), lend(value)
	importSlotSet(said.at, said.count, text.at, text.count, result.at())
	return result.refused()
}

func hostSlotList() ([]string, error) {
	hold()
	defer release()
	result := newArea()
	importSlotList(result.at())
	return got(result, takeTexts)
}

func hostToolsList() ([]ToolSpec, error) {
	hold()
	defer release()
	result := newArea()
	importToolsList(result.at())
	return got(result, func(raw rawList) []ToolSpec {
		return takeList(raw, func(each rawToolSpec) ToolSpec {
			return ToolSpec{take(each.name), take(each.description), takeJSON(each.parameters)}
		})
	})
}

func hostToolsCall(name, arguments string) (json.RawMessage, error) {
	hold()
	defer release()
	result, said, text := newArea(), lend(name), lend(arguments)
	importToolsCall(said.at, said.count, text.at, text.count, result.at())
	return got(result, takeJSON)
}

// got gives what the host gave, or why it gave nothing.
func got[R, T any](result *area, one func(R) T) (T, error) {
	if err := result.refused(); err != nil {
		var nothing T
		return nothing, err
	}
	return one(value[R](result)), nil
}

// takeJSON gives JSON of the host's; what is none stays visible as text.
func takeJSON(raw rawList) json.RawMessage {
	text := json.RawMessage(takePlain[byte](raw))
	if json.Valid(text) {
		return text
	}
	quoted, _ := toJSON(string(text))
	return json.RawMessage(quoted)
}

func lendVector(vector []float32) rawMaybe[rawList] {
	if vector == nil {
		return none[rawList]()
	}
	return some(lendPlain(vector))
}

func takeVector(raw rawMaybe[rawList]) []float32 {
	if !raw.some {
		return nil
	}
	return takePlain[float32](raw.value)
}
