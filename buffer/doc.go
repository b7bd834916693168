// Package buffer is the durable queue between what happens on the premises and the platform: records go in by a commit, are
// peeked at, and are done with once they are acknowledged. It also keeps notes, the small keyed values that a restart
// needs, in the same transaction as the records they belong to.
//
// It is not a message broker, knows neither events nor Kafka, and never looks into a record.
//
// # Basics
//
// A buffer is a directory of numbered bbolt files, the segments. Only the newest, the head, is written. A commit is one
// transaction in it: for each lane one block of that lane's records, compressed and checksummed, and the notes, and how
// far each lane has been acknowledged. When the head is full the next segment starts, with the notes copied on.
//
// A lane is the queue of one topic. Order, depth and cursor are the lane's own, so one blocked topic holds up no other.
// Sequences count the records of all lanes of one epoch from 1. Those of one commit are numbered lane by lane, in the
// order of Options.Lanes, and within a lane in the order in which they were given.
//
// Nothing is removed by reading. Peek shows the oldest waiting records, Ack says up to where they are done with. A record
// that nobody can take is set aside by Ack, kept, and out of the way.
//
// A segment whose records are all done with stays as archive until its place is needed. When the budget is spent and
// records still wait, telemetry goes first, the oldest first, then critical lanes; what went is counted, and a Gap says
// which records they were. A commit neither waits nor fails because of the budget.
//
// # Caveats
//
// One process owns a directory; Open says so when there is another. One goroutine at a time commits, others wait; Peek, Ack
// and the rest may be called from any.
//
// An acknowledgement becomes durable with the next commit, or by itself within a second. After a crash the records that
// were acknowledged since then are peeked at again, with the same sequences.
//
// bbolt reads by memory mapping: a page that the disk does not give takes the whole process with it, or, if it is slow,
// stops it. So a segment is read through read(2) before it is mapped, after an unclean end it is probed by another
// process first (Options.Probe), and a file that cannot be trusted is renamed to *.damaged, told by Found, never
// deleted. The notes then come from the newer of two copies beside the segments, and sequences go on far above all
// that can have been given, so that none is given twice.
package buffer
