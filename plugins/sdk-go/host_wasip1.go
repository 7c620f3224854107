package bandstand

import (
	"math"
	"unsafe"
)

//go:wasmimport bandstand:agent/log@0.1.0 write
func importLogWrite(level uint32, message unsafe.Pointer, messageSize uint32, fields unsafe.Pointer, fieldsSize uint32)

//go:wasmimport bandstand:agent/progress@0.1.0 chunk
func importChunk(text unsafe.Pointer, size uint32)

//go:wasmimport bandstand:agent/progress@0.1.0 report
func importReport(known uint32, fraction float64, message unsafe.Pointer, size uint32)

func hostLog(level Level, message, fields string) {
	hold()
	defer release()
	said, details := lend(message), lend(fields)
	importLogWrite(uint32(level), pointer(said.at), said.count, pointer(details.at), details.count)
}

func hostChunk(text string) {
	hold()
	defer release()
	said := lend(text)
	importChunk(pointer(said.at), said.count)
}

func hostProgress(fraction float64, message string) {
	hold()
	defer release()
	said := lend(message)
	if math.IsNaN(fraction) {
		importReport(0, 0, pointer(said.at), said.count)
	} else {
		importReport(1, fraction, pointer(said.at), said.count)
	}
}
