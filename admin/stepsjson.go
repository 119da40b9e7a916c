package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/mirror"
)

// parseSteps reads one step or an array of them. A step that is misread would
// be noticed only after a crash, so nothing is guessed: a name twice, in other
// letters or unknown is a fault, and the error names the place.
func parseSteps(b []byte) ([]Step, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, usage("the body is empty", `send one step, such as {"id":"m-1","kind":"service","step":"validate","phase":"started"}, or an array of them`)
	}
	if !utf8.Valid(b) {
		return nil, usage("the body is not UTF-8", "a payload of other bytes goes in base64, see payloadEncoding")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		at := int64(len(b))
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = s.Offset
		}
		return nil, usage(fmt.Sprintf("%s: the body is no JSON: %v", lineOf(b, at), err), "send one object, or one array of them")
	}
	p := stepParser{json.NewDecoder(bytes.NewReader(b))}
	p.UseNumber() // the others can be too great, which is an error
	first, err := p.Token()
	switch {
	case err != nil:
		return nil, err
	case first == json.Delim('{'):
		s, err := p.step("")
		return []Step{s}, err
	case first == json.Delim('['):
		return p.array()
	}
	return nil, usage("the body is neither a JSON object nor an array", "send one step, or an array of steps")
}

// lineOf tells the line and column of an offset.
func lineOf(b []byte, at int64) string {
	before := b[:min(max(at, 0), int64(len(b)))]
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(before, []byte{'\n'}), max(column, 1))
}

// stepParser reads what is known to be JSON, so that its tokens come without
// errors, whatever Token promises.
type stepParser struct{ *json.Decoder }

// array reads the steps behind the bracket.
func (p *stepParser) array() (steps []Step, err error) {
	for p.More() {
		place := fmt.Sprintf("steps[%d]", len(steps))
		if len(steps) == maxSteps {
			return nil, &Error{Kind: KindTooLarge, Detail: fmt.Sprintf("there are more than %d steps", maxSteps), Mend: "send the rest in a request of its own"}
		}
		t, err := p.Token()
		if err != nil {
			return nil, err
		}
		if t != json.Delim('{') {
			return nil, usage(place+" is no JSON object", "")
		}
		s, err := p.step(place)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	_, err = p.Token() // the closing bracket
	return steps, err
}

var stepFields = []string{"id", "kind", "step", "instance", "phase", "error", "fence", "payload", "payloadEncoding"}

// step reads one step behind its brace; place is its name in errors, if it has one.
func (p *stepParser) step(place string) (s Step, err error) {
	name := func(field string) string {
		if place == "" {
			return field
		}
		return place + "." + field
	}
	texts := map[string]*string{"id": &s.ID, "kind": &s.Kind, "step": &s.Step, "instance": &s.Instance, "phase": &s.Phase,
		"error": &s.Error, "payload": &s.Payload, "payloadEncoding": &s.PayloadEncoding}
	var given []string
	for p.More() {
		t, err := p.Token()
		if err != nil {
			return s, err
		}
		field, _ := t.(string) // an object's name is a string
		switch {
		case !slices.Contains(stepFields, field):
			return s, usage(fmt.Sprintf("%s: no such field", name(fmt.Sprintf("%.64q", field))), "known are: "+strings.Join(stepFields, ", "))
		case slices.Contains(given, field):
			return s, usage(name(field)+" is given twice", "")
		}
		given = append(given, field)
		value, err := p.Token()
		if err != nil {
			return s, err
		}
		var ok bool
		if field == "fence" {
			if s.Fence, ok = value.(bool); !ok {
				return s, usage(name(field)+" is neither true nor false", "")
			}
		} else if *texts[field], ok = value.(string); !ok {
			return s, usage(name(field)+" is no string", "")
		}
	}
	if _, err := p.Token(); err != nil { // the closing brace
		return s, err
	}
	return s, s.check(name)
}

// check finds what makes no sense in one step.
func (s *Step) check(name func(string) string) error {
	kinds := []string{StepWorkflow, StepChannel, StepConsumer, StepService, StepProducer}
	phases := []string{StepStarted, StepCompleted, StepFailed}
	if err := oneOf(name("kind"), s.Kind, kinds); err != nil {
		return err
	}
	if err := oneOf(name("phase"), s.Phase, phases); err != nil {
		return err
	}
	for _, f := range []struct {
		field, text string
		needed      bool
	}{{"id", s.ID, true}, {"step", s.Step, true}, {"instance", s.Instance, false}} {
		switch {
		case f.needed && f.text == "":
			return usage(name(f.field)+" is missing or empty", "")
		case len(f.text) > mirror.MaxName:
			return &Error{Kind: KindTooLarge, Detail: fmt.Sprintf("%s has more than %d bytes", name(f.field), mirror.MaxName)}
		}
	}
	switch {
	case s.Error != "" && s.Phase != StepFailed:
		return usage(name("error")+" is given, and the step did not fail", `write "phase":"failed", or leave it out`)
	case s.Fence && (s.Kind != StepProducer || s.Phase != StepStarted):
		return usage(name("fence")+" is for the start of a producer", "leave it out elsewhere")
	case s.Payload != "" && (s.Kind != StepWorkflow || s.Phase != StepStarted):
		return usage(name("payload")+" is for the start of a workflow", "leave it out elsewhere")
	case s.PayloadEncoding != "" && s.PayloadEncoding != inBase64:
		return usage(fmt.Sprintf("%s is %.64q", name("payloadEncoding"), s.PayloadEncoding), "write base64, or leave it out")
	case s.PayloadEncoding != "":
		if _, err := base64.StdEncoding.DecodeString(s.Payload); err != nil {
			return usage(fmt.Sprintf("%s is no base64: %v", name("payload"), err), "")
		}
	}
	return nil
}

func oneOf(place, text string, known []string) error {
	switch {
	case text == "":
		return usage(place+" is missing or empty", "write one of: "+strings.Join(known, ", "))
	case !slices.Contains(known, text):
		return usage(fmt.Sprintf("%s is %.64q", place, text), "write one of: "+strings.Join(known, ", ")+" (in lower case)")
	}
	return nil
}
