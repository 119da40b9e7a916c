package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"
)

// SetPayload keeps the message with the start of its workflow, whatever its bytes.
func (s *Step) SetPayload(b []byte) {
	if utf8.Valid(b) {
		s.Payload, s.PayloadEncoding = string(b), ""
		return
	}
	s.Payload, s.PayloadEncoding = encodeKey(string(b))
}

// Report tells the instance of steps, in order; see [Steps]. At an error,
// Taken says how many it took; the rest may be sent again. A timeout of 0
// means the instance's own: how long a fence may wait for the slaves.
func (c *Client) Report(ctx context.Context, timeout time.Duration, steps ...Step) (StepsAnswer, error) {
	path := "/v1/steps"
	if timeout > 0 {
		path += "?" + url.Values{"timeoutMs": {strconv.FormatInt(max(1, timeout.Milliseconds()), 10)}}.Encode()
	}
	for i, s := range steps {
		// encoding/json would put other bytes in their place.
		for _, text := range []string{s.ID, s.Step, s.Instance, s.Error, s.Payload} {
			if !utf8.ValidString(text) {
				return StepsAnswer{}, usage(fmt.Sprintf("steps[%d]: %.64q is not UTF-8", i, text), "a payload is set with SetPayload")
			}
		}
	}
	b, err := json.Marshal(append([]Step{}, steps...)) // none: [], not null
	if err != nil {
		return StepsAnswer{}, fmt.Errorf("write the steps: %w", err)
	}
	var answer StepsAnswer
	resp, err := c.send(ctx, http.MethodPost, path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			answer.Taken = e.Taken
		}
		return answer, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return answer, nil
}
