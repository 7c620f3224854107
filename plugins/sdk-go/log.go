package bandstand

import (
	"fmt"
	"math"
	"strings"
)

// Level is how much attention a line wants.
type Level uint8

// In the order of the host's.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line for the operator, kept with the attempt. pairs are details, name and value in turn. It is always allowed.
// What is printed is kept as well, without a level.
func Log(level Level, message string, pairs ...any) {
	var fields strings.Builder
	for index := 0; index < len(pairs); index += 2 {
		name, _ := toJSON(fmt.Sprint(pairs[index]))
		var value any
		if index+1 < len(pairs) {
			value = pairs[index+1]
		}
		if err, is := value.(error); is {
			value = err.Error()
		}
		text, err := toJSON(value)
		if err != nil {
			text, _ = toJSON(fmt.Sprint(value))
		}
		if fields.Len() == 0 {
			fields.WriteByte('{')
		} else {
			fields.WriteByte(',')
		}
		fields.WriteString(name + ":" + text)
	}
	if fields.Len() > 0 {
		fields.WriteByte('}')
	}
	hostLog(level, message, fields.String())
}

// Debug writes a line of level debug.
func Debug(message string, pairs ...any) { Log(LevelDebug, message, pairs...) }

// Info writes a line of level info.
func Info(message string, pairs ...any) { Log(LevelInfo, message, pairs...) }

// Warn writes a line of level warn.
func Warn(message string, pairs ...any) { Log(LevelWarn, message, pairs...) }

// Error writes a line of level error.
func Error(message string, pairs ...any) { Log(LevelError, message, pairs...) }

// Chunk shows the next piece of a text that is being produced. It is always allowed.
func Chunk(text string) { hostChunk(text) }

// Progress shows how far the work is, 0 to 1 or NaN where that is not known, and what is being done. It is always allowed.
func Progress(fraction float64, message string) {
	if !math.IsNaN(fraction) {
		fraction = inUnit(fraction)
	}
	hostProgress(fraction, message)
}
