package bus

import "slices"

// queue holds the writes that wait: at most one for an output, oldest order first.
type queue struct{ waiting []Write }

// put adds a write, in the place of one to the same output.
func (q *queue) put(w Write) {
	for i := range q.waiting {
		if q.waiting[i].Output == w.Output {
			q.waiting[i] = w
			return
		}
	}
	q.waiting = append(q.waiting, w)
}

// take removes the first safety write, else the first that may go. Safety writes to units that answer go before the others:
// each of those takes as long as its timeout, and nobody waits for eight dead relays to switch off a live one.
func (q *queue) take(answers, may func(Write) bool) (Write, bool) {
	i := slices.IndexFunc(q.waiting, func(w Write) bool { return w.Safety && answers(w) })
	if i < 0 {
		i = slices.IndexFunc(q.waiting, func(w Write) bool { return w.Safety })
	}
	if i < 0 {
		i = slices.IndexFunc(q.waiting, may)
	}
	if i < 0 {
		return Write{}, false
	}
	w := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return w, true
}

// safety says that a safety write waits.
func (q *queue) safety() bool {
	return slices.ContainsFunc(q.waiting, func(w Write) bool { return w.Safety })
}

// empty takes all.
func (q *queue) empty() []Write {
	all := q.waiting
	q.waiting = nil
	return all
}
