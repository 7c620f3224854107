package bandstand

import (
	"runtime/debug"
	"unsafe"
)

// Memory at the border. Values cross as 32-bit addresses, which Go's collector does not see, and the host allocates what it
// gives through cabi_realloc, in which nothing may be imported: the collector, which reads the clock, must not run there. So
// none runs from hold to release, and while none runs an address is as good as a reference.

// collecting is the share of new memory after which the collector runs: Go's default.
const collecting = 100

var (
	// holds counts those who have the collector held: goroutines may overlap, since holding waits for a collection to end.
	holds int
	// lent keeps what the host reads. It also moves it off the stack, which may be moved while the host asks for memory.
	lent []unsafe.Pointer
	// given keeps what the host wrote until Go has references to it.
	given [][]uint64
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
	holds++
	debug.SetGCPercent(-1)
}

func release() {
	holds--
	if holds == 0 {
		lent, given = nil, nil
		debug.SetGCPercent(collecting)
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
	block := make([]uint64, max((size+7)/8, 1))
	given = append(given, block)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&block[0])), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return unsafe.Pointer(&block[0])
}

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

func lend(text string) rawList {
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

// take gives a text of the host's: no copy, the block is Go's.
func take(raw rawList) string {
	if raw.count == 0 {
		return ""
	}
	return unsafe.String((*byte)(pointer(raw.at)), raw.count)
}

func takeMaybe(raw rawMaybe[rawList]) *string {
	if !raw.some {
		return nil
	}
	text := take(raw.value)
	return &text
}

func takePlain[T any](raw rawList) []T {
	if raw.count == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(raw.at)), raw.count)
}

func takeList[R, T any](raw rawList, one func(R) T) []T {
	items := make([]T, 0, raw.count)
	for _, item := range takePlain[R](raw) {
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
