package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// A state that the buffer refuses would end all keeping for good.
func TestALongStoryIsRefused(t *testing.T) {
	g, err := New(Options{Config: loadable(t, "test.yaml", fmt.Sprintf(testConfig, "/nowhere"))})
	if err != nil {
		t.Fatal(err)
	}
	story := strings.Repeat("<", 16000)
	for _, w := range []api.Write{{Reason: story}, {By: story}} {
		w.Output, w.Value, w.For = "heater", 1, time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := g.Submit(ctx, w); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wish of %d bytes was taken: %v", len(w.By)+len(w.Reason), err)
		}
		cancel()
	}
}
