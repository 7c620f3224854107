package bandstand

import "encoding/json"

// Recorded is an audit entry as the host keeps it.
type Recorded struct {
	// ID is unique within the workflow.
	ID string
	// At is when it was appended, RFC 3339.
	At string
	// UserID and ThreadID are those of the call that appended it; nil: none.
	UserID, ThreadID *string
	// Source is the node that appended it.
	Source string
	// Action is what was done, in kebab-case.
	Action string
	// Payload has the details.
	Payload json.RawMessage
	// Tags are words to find it by.
	Tags []string
}

// AuditAppend appends an entry under this call's user, thread and node, and gives its id. Grant memory.
func AuditAppend(action string, payload any, tags ...string) (string, error) {
	text, err := argument(payload)
	if err != nil {
		return "", err
	}
	return hostAuditAppend(action, text, tags)
}

// AuditSnapshot gives the latest entries of this call's thread (of its run, without a thread), oldest first. Grant memory.
func AuditSnapshot(limit uint32) ([]Recorded, error) { return hostAuditSnapshot(limit) }

// Fact is one thing known.
type Fact struct {
	// Text is the fact in words.
	Text string
	// Kind is what sort of fact: note, preference, or the agent's own word. Empty: note.
	Kind string
	// Tags are words to filter by.
	Tags []string
	// UserID is whom it is about; in PutFacts, nil means this call's user.
	UserID *string
	// Salience is how much it matters, Confidence how sure it is, 0 to 1.
	Salience, Confidence float64
	// Source is where it comes from.
	Source string
	// Embedding is its meaning as a vector. Without one, only a search by words finds it.
	Embedding []float32
}

// NewFact is a note that matters, and is sure, by half.
func NewFact(text string, tags ...string) Fact {
	return Fact{Text: text, Kind: "note", Tags: tags, Salience: 0.5, Confidence: 0.5}
}

// Hit is a fact that was found.
type Hit struct {
	// ID is for ForgetFact.
	ID string
	// Score is higher for better hits; comparable within one answer only.
	Score float64
	// At is when it was put, RFC 3339.
	At string
	// ThreadID is the thread of the call that put it; nil: none.
	ThreadID *string
	// Fact is what was put.
	Fact Fact
}

// SearchMode is how text and embedding of a Query are used.
type SearchMode uint8

// In the order of the host's.
const (
	// Keyword: by words.
	Keyword SearchMode = iota
	// Vector: by nearness to the embedding.
	Vector
	// Hybrid: both, merged.
	Hybrid
)

// Query is what to look for among facts. All filters must hold, and an empty one filters nothing.
type Query struct {
	// Text are words to look for. Empty: the filters alone decide, and newer facts come first.
	Text string
	// Mode is Keyword if not set.
	Mode SearchMode
	// Embedding is needed by Vector and Hybrid.
	Embedding []float32
	// Tags are those that a fact must carry, every one.
	Tags []string
	// Kinds are those that a fact may be of.
	Kinds []string
	// UserID is whom a fact is about.
	UserID *string
	// ThreadID is during which thread it was put.
	ThreadID *string
	// Limit is how many at most; 0 counts as 10.
	Limit uint32
}

// PutFacts keeps facts, all or none of them, and gives their ids in the same order. Grant memory.
func PutFacts(facts ...Fact) ([]string, error) {
	kept := make([]Fact, len(facts))
	for index, fact := range facts {
		if fact.Kind == "" {
			fact.Kind = "note"
		}
		kept[index] = fact
	}
	return hostFactsPut(kept)
}

// SearchFacts gives the best hits, best first. Grant memory.
func SearchFacts(query Query) ([]Hit, error) {
	if query.Limit == 0 {
		query.Limit = 10
	}
	return hostFactsSearch(query)
}

// ForgetFact removes a fact. Grant memory.
func ForgetFact(id string) error { return hostFactsForget(id) }

// ReflectFacts lets the host derive facts from an audit entry, and gives their ids. Grant memory.
func ReflectFacts(entryID string) ([]string, error) { return hostFactsReflect(entryID) }

// ConsolidateFacts merges facts that say the same about the same user, and tells how many went. Grant memory.
func ConsolidateFacts() (uint32, error) { return hostFactsConsolidate() }

// Slot reads a named place of the thread; nil where nothing was set. Grant memory.
func Slot(name string) (json.RawMessage, error) { return hostSlotGet(name) }

// SetSlot puts a value in place of the former one; nil empties the slot. Grant memory.
func SetSlot(name string, value any) error {
	text, err := argument(value)
	if err != nil {
		return err
	}
	return hostSlotSet(name, text)
}

// SlotNames gives the names in use, in order. Grant memory.
func SlotNames() ([]string, error) { return hostSlotList() }

// argument is JSON of a value that the agent hands to the host. What is no JSON is refused as the host would.
func argument(value any) (string, error) {
	text, err := toJSON(value)
	if err != nil {
		return "", &HostError{Kind: Invalid, Code: "no-json", Message: err.Error()}
	}
	return text, nil
}
