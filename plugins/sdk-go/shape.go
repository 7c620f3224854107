package bandstand

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

var (
	readsJSON = reflect.TypeFor[json.Unmarshaler]()
	readsText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// fit reads raw into value. encoding/json alone says nothing of members that are missing and takes names in any case.
func fit(raw json.RawMessage, value reflect.Value, path string) error {
	of := value.Type()
	if reflect.PointerTo(of).Implements(readsJSON) || reflect.PointerTo(of).Implements(readsText) {
		return fitPlain(raw, value, path)
	}
	switch {
	case of.Kind() == reflect.Pointer:
		if isNull(raw) {
			return nil
		}
		value.Set(reflect.New(of.Elem()))
		return fit(raw, value.Elem(), path)
	case isNull(raw) && of.Kind() != reflect.Interface:
		return fmt.Errorf("%s is null", at(path))
	case of.Kind() == reflect.Struct:
		return fitStruct(raw, value, path)
	case of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8:
		var items []json.RawMessage
		if err := fitPlain(raw, reflect.ValueOf(&items).Elem(), path); err != nil {
			return err
		}
		value.Set(reflect.MakeSlice(of, len(items), len(items)))
		for index, item := range items {
			if err := fit(item, value.Index(index), fmt.Sprintf("%s/%d", path, index)); err != nil {
				return err
			}
		}
		return nil
	}
	return fitPlain(raw, value, path)
}

func fitStruct(raw json.RawMessage, value reflect.Value, path string) error {
	var members map[string]json.RawMessage
	if err := fitPlain(raw, reflect.ValueOf(&members).Elem(), path); err != nil {
		return err
	}
	for index := range value.NumField() {
		field := value.Type().Field(index)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct {
			if err := fitStruct(raw, value.Field(index), path); err != nil {
				return err
			}
			continue
		}
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		inside := path + "/" + name
		optional := field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		member, found := members[name]
		if !found && !optional {
			return fmt.Errorf("%s is missing", at(inside))
		}
		if !found || optional && isNull(member) {
			continue
		}
		if err := fit(member, value.Field(index), inside); err != nil {
			return err
		}
		if allowed, has := field.Tag.Lookup("oneof"); has {
			text := reflect.Indirect(value.Field(index)).String()
			if !slices.Contains(strings.Fields(allowed), text) {
				return fmt.Errorf("%s is %q and none of %s", at(inside), text, strings.Join(strings.Fields(allowed), ", "))
			}
		}
	}
	return nil
}

func fitPlain(raw json.RawMessage, value reflect.Value, path string) error {
	err := json.Unmarshal(raw, value.Addr().Interface())
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return fmt.Errorf("%s: expected %s, found %s", at(path), described(value.Type()), mismatch.Value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at(path), err)
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

func at(path string) string {
	if path == "" {
		return "it"
	}
	return "`" + path + "`"
}

func described(of reflect.Type) string {
	switch of.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number that fits " + of.Kind().String()
}
