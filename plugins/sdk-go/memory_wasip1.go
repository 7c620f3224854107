package bandstand

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"
)

// Memory at the border. Values cross as 32-bit addresses, which Go's collector does not see, and the host allocates what it
// gives through cabi_realloc, in which nothing may be imported. Go imports the clock to collect, and to give memory back while
// its heap grows. So between hold and release no collection runs, and cabi_realloc cuts from an arena of the SDK's own, not
// from Go's heap; what stays with Go is copied out of it. Only an answer that does not fit into the arena comes from Go's heap.

const (
	// collecting is the share of new memory after which the collector runs: Go's default.
	collecting = 100
	// collectAfter is how many bytes the host may give before release collects: Go looks whether it is time only when it
	// allocates, and while it allocates for a call the collector is held.
	collectAfter = 4 << 20
	arenaBytes   = 1 << 20
)

var (
	// holds counts those who have the collector held: goroutines may overlap, since holding waits for a collection to end.
	holds int
	// lent keeps what the host reads. It also moves it off the stack, which may be moved while the host asks for memory.
	lent []unsafe.Pointer
	// arena is what the host's answers are cut from, from its start again when nobody holds.
	arena     [arenaBytes / 8]uint64
	arenaUsed uintptr
	// given keeps what did not fit into the arena until Go has references to it.
	given [][]uint64
	// givenBytes is what the host gave since release last collected.
	givenBytes uintptr
)

// early is what the WASI adapter gets for its stack and state. It asks before Go's own memory is set up.
var (
	early     [160 << 10]byte
	earlyUsed uintptr
	started   bool
)

// The collector is held until run lets it go: the host gives the call before.
func init() {
	hold()
	started = true
}

func hold() {
	if holds == 0 {
		before := collections()
		// Waits for a running collection.
		debug.SetGCPercent(-1)
		if collections() != before {
			// It ended with the collector switched off, after which Go gives memory back whenever its heap grows, in cabi_realloc
			// too; until one ends that knows how large the heap may be.
			debug.SetGCPercent(collecting)
			runtime.GC()
			debug.SetGCPercent(-1)
		}
	}
	holds++
}

// collected is read again and again, so that reading it allocates once.
var collected debug.GCStats

// collections counts those that have ended.
func collections() int64 {
	debug.ReadGCStats(&collected)
	return collected.NumGC
}

func release() {
	holds--
	if holds > 0 {
		return
	}
	lent, given, arenaUsed = nil, nil, 0
	debug.SetGCPercent(collecting)
	if givenBytes >= collectAfter {
		givenBytes = 0
		runtime.GC()
	}
}

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if !started {
		start := (uintptr(unsafe.Pointer(&early)) + earlyUsed + uintptr(align) - 1) &^ (uintptr(align) - 1)
		earlyUsed = start + uintptr(size) - uintptr(unsafe.Pointer(&early))
		if earlyUsed > unsafe.Sizeof(early) {
			panic("the WASI adapter asks for more memory than the SDK keeps for it")
		}
		return unsafe.Pointer(start)
	}
	block := allot(max((uintptr(size)+7)/8, 1) * 8)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(block), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return block
}

// allot gives memory that starts at a multiple of eight, as many bytes.
func allot(size uintptr) unsafe.Pointer {
	givenBytes += size
	if size <= arenaBytes-arenaUsed {
		arenaUsed += size
		return unsafe.Add(unsafe.Pointer(&arena), arenaUsed-size)
	}
	block := make([]uint64, size/8)
	given = append(given, block)
	return unsafe.Pointer(&block[0])
}

// isLoose says of an address that what is there will be written over.
func isLoose(at uint32) bool { return uintptr(at)-uintptr(unsafe.Pointer(&arena)) < arenaBytes }

// Types as they lie in memory. Go lays fields out as the component model does, and writes bool as 0 or 1.
type (
	// rawList is a string, too.
	rawList struct{ at, count uint32 }

	rawMaybe[T any] struct {
		some  bool
		value T
	}

	rawError struct {
		kind       ErrorKind
		code       rawList
		message    rawList
		retryAfter rawMaybe[uint32]
	}
)

func none[T any]() rawMaybe[T] { return rawMaybe[T]{} }

func some[T any](value T) rawMaybe[T] { return rawMaybe[T]{true, value} }

func pointer(at uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

// lendAt gives an address that holds until release.
func lendAt(at unsafe.Pointer) uint32 {
	lent = append(lent, at)
	return uint32(uintptr(at))
}

// lend lends a text, with what is no UTF-8 replaced, as JSON does in Go: the host takes no other.
func lend(text string) rawList {
	text = strings.ToValidUTF8(text, "\ufffd")
	return rawList{lendAt(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

func lendMaybe(text *string) rawMaybe[rawList] {
	if text == nil {
		return none[rawList]()
	}
	return some(lend(*text))
}

// lendWord lends a text whose being empty says that there is none.
func lendWord(text string) rawMaybe[rawList] {
	if text == "" {
		return none[rawList]()
	}
	return some(lend(text))
}

// lendPlain lends a list of numbers or of raw records.
func lendPlain[T any](items []T) rawList {
	return rawList{lendAt(unsafe.Pointer(unsafe.SliceData(items))), uint32(len(items))}
}

func lendList[T, R any](items []T, raw func(T) R) rawList {
	list := make([]R, len(items))
	for index, item := range items {
		list[index] = raw(item)
	}
	return lendPlain(list)
}

func lendTexts(texts []string) rawList { return lendList(texts, lend) }

// take gives a text of the host's.
func take(raw rawList) string {
	bytes := takePlain[byte](raw)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

func takeMaybe(raw rawMaybe[rawList]) *string {
	if !raw.some {
		return nil
	}
	text := take(raw.value)
	return &text
}

// takePlain gives a list of numbers of the host's. A block that is Go's needs no copy.
func takePlain[T any](raw rawList) []T {
	if isLoose(raw.at) {
		return slices.Clone(look[T](raw))
	}
	return look[T](raw)
}

// look gives a list as the host wrote it, until release.
func look[T any](raw rawList) []T {
	if raw.count == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(raw.at)), raw.count)
}

func takeList[R, T any](raw rawList, one func(R) T) []T {
	items := make([]T, 0, raw.count)
	for _, item := range look[R](raw) {
		items = append(items, one(item))
	}
	return items
}

func takeTexts(raw rawList) []string { return takeList(raw, take) }

// area is where the host writes a result: a byte that says whether it is an error, and from the fourth byte on either.
type area [16]uint64

func newArea() *area {
	made := new(area)
	lent = append(lent, unsafe.Pointer(made))
	return made
}

func (result *area) at() unsafe.Pointer { return unsafe.Pointer(result) }

// value is what the host gave. It is to be read only where refused gives nil.
func value[T any](result *area) T { return *(*T)(unsafe.Add(result.at(), 4)) }

func (result *area) refused() error {
	if !*(*bool)(result.at()) {
		return nil
	}
	raw := value[rawError](result)
	return &HostError{raw.kind, take(raw.code), take(raw.message), takeSpan(raw.retryAfter)}
}
