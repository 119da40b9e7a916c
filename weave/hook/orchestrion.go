package hook

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// This file is what orchestrion.yml inserts calls of. It is not part of the
// copy. Orchestrion knows neither the types of a message nor those a method
// belongs to, so they are looked at while the program runs.

type stepKey struct {
	kind, name string
	fenced     bool
}

var steps sync.Map // stepKey → *Step

func made(kind, name string, fenced bool) *Step {
	key := stepKey{kind, name, fenced}
	if s, ok := steps.Load(key); ok {
		return s.(*Step)
	}
	s, _ := steps.LoadOrStore(key, New(kind, name, fenced))
	return s.(*Step)
}

// Method begins a method's step. It is named after the type of the receiver.
func Method(ctx context.Context, kind string, receiver, message any) (context.Context, *Span) {
	if direct == nil && theReporter() == nil {
		return ctx, nil
	}
	t := reflect.TypeOf(receiver)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(fmt.Sprint(t), "[")
	return made(kind, strings.TrimPrefix(name, "main."), false).Begin(ctx, func() string { return idOf(message) })
}

// Function begins the step of a function that //profiler:step marks with some
// words.
func Function(ctx context.Context, name string, words ...string) (context.Context, *Span) {
	if len(words) > 0 && words[0] != "" {
		name = words[0]
	}
	kind, fenced := Service, slices.Contains(words, "fence")
	if fenced {
		kind = Producer
	}
	for _, k := range []string{Workflow, Channel, Consumer, Service, Producer} {
		if len(words) > 1 && slices.Contains(words[1:], k) {
			kind = k
		}
	}
	return made(kind, name, fenced).Begin(ctx, nil)
}

// idOf is the id of a message of any type, or "".
func idOf(message any) string {
	v := reflect.ValueOf(message)
	if !v.IsValid() {
		return ""
	}
	for _, word := range []string{"ID", "Id", "GetID", "GetId", "MessageID", "UniqueID", "GetUniqueID", "UUID"} {
		if m := v.MethodByName(word); m.IsValid() && m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
			if text, ok := plain(m.Call(nil)[0]); ok {
				return text
			}
		}
		s := v
		if s.Kind() == reflect.Pointer {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct {
			continue
		}
		if f := s.FieldByName(word); f.IsValid() && f.CanInterface() {
			if text, ok := plain(f); ok {
				return text
			}
		}
	}
	return ""
}

func plain(v reflect.Value) (string, bool) {
	if v.Kind() == reflect.String {
		return v.String(), true
	}
	s, ok := v.Interface().(fmt.Stringer)
	if !ok {
		return "", false
	}
	return s.String(), true
}
