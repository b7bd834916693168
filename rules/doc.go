// Package rules decides what a zone's climate needs: whether a value is in its range, when that becomes an alert, what is
// wanted of the outputs, and when it is over. It is pure: time is an argument, the same inputs in the same order give the
// same outcome, and it knows neither buses nor clocks nor the platform. It does not decide what an output does in the end:
// it says what it wants, and package scan weighs the wants of all.
//
// # Basics
//
// A Spec is one rule: one quantity in one zone, its range by day and by night, and what happens outside it. Compile makes a
// Set of specs; NewState makes what the set remembers; Eval takes an instant, an Image of the newest samples and the state,
// and gives the Changes (transitions, told once each) and the Wants (all that are in force, each time).
//
// The value is the median of the usable inputs: Good and Uncertain ones, for what a rule may not use is Bad already. VPD is
// computed from the median temperature and the median humidity. Without a usable input the value is lost.
//
// An alert's life, each arrow a transition:
//
//	ok ──breach──> pending ──For──> firing ──back by Hysteresis──> resolving ──KeepFor──> ok
//	    <──back──┘          Raised         <──out again──┘                     Resolved
//
// The instant at which the breach began is its identity and stays the same up to Resolved. The severity is that of the
// deviation from the limit; while an alert fires it only rises, each time as Escalated. A breach of the other side ends the
// alert at once and begins another one, with its own For.
//
// From Raised to Resolved the actions of the broken side are wanted, with the alert's severity. The correction has worked
// (Yes) when the value is back by the hysteresis while every action's output is confirmed at what it should be. It has
// failed (No) when Within is up with the value still out of range, or when an output has refused for 10 s. Either is told as
// Corrected. A correction that has failed goes on until the alert is over, for the plants still need it; No is final for its
// alert. One that has worked is open again, with a new Within, when the value leaves the range anew before the alert is over.
//
// A lost value moves no alert. It is told as Blinded after 15 s, or 30 s after the start when nothing has come yet, and as
// Seeing when the value is back. A correction goes on for Loss; then, and also without an alert, all outputs of the rule get
// wants with Loss set until the value is back. Timers stand still while the value is lost; once Blinded is told, For and
// KeepFor begin anew with the value (what was pending is a new breach). Within stands still up to Loss; after that the
// correction begins anew with the value.
//
// Durations are measured on the steady clock. The wall clock only says whether it is day or night, by the hour in its own
// time zone, so a day keeps its hours when the clocks are changed. A value is judged against the range in force. Nothing
// fires at a switch-over without For, and until For has passed after one the severity is that of the milder of both ranges.
//
// Save and Restore carry a state over a restart or into another Set, by the rules' ids. What is kept are durations: a hold
// goes on with what it had left, as if the time between had not been. A firing alert stays firing and is not raised again;
// its correction, with its Within, begins anew at the first value.
//
// # Caveats
//
// A Set never changes and may be shared. A State belongs to one goroutine and to the Set that made it. The slices of an
// Outcome are the State's, until the next Eval.
//
// Eval judges every rule each time: 300 rules over 1,000 points take some 30 µs, so there is nothing to gain by skipping. It is to
// be called often, also when nothing comes: every instant of a life falls on a call, and a sample counts until another one
// takes its place. An Image shorter than an index in a Spec is a panic.
//
// Where the ranges of day and night lie far apart, the room needs time to follow. For should be longer than that, or every
// evening begins with an alert.
//
// The outputs of a rule are known by what Feedback says of them. Where outputs are only observed nothing is ever confirmed,
// so a correction there ends as failed when the value does not come back by itself, and as unknown when it does.
package rules
