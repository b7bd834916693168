package drivertest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// goroutines are those that run now, by the first line of their stack without the state: "goroutine 7".
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		name, _, _ := strings.Cut(stack, " [")
		all[name] = stack
	}
	return all
}

// nothingLeft waits until no goroutine is left that was not there before, but for those of the test itself and the ignored.
func nothingLeft(t *testing.T, before map[string]string, ignore []string) {
	t.Helper()
	if t.Failed() {
		return // a call may still hang
	}
	var left []string
	for end := time.Now().Add(enough); ; time.Sleep(5 * time.Millisecond) {
		left = left[:0]
		for name, stack := range goroutines() {
			if _, ok := before[name]; !ok && !ignored(stack, ignore) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	t.Errorf("left behind after Close:\n%s", strings.Join(left, "\n\n"))
}

func ignored(stack string, ignore []string) bool {
	for _, part := range ignore {
		if strings.Contains(stack, part) {
			return true
		}
	}
	return false
}
