package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/api"
)

func newOutputs() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outputs",
		Short: "Try the outputs",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newOutputsTest())
	return cmd
}

func newOutputsTest() *cobra.Command {
	t := trial{}
	var record string
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "test [OUTPUT...]",
		Short: "Switch each output for a moment and record who saw it",
		Long: `Switch each output for a few seconds, one after the other, and write down who confirmed it: the device, by what it shows,
and you, by what you saw. Each is asked for before it is switched. It is an ordinary hold by hand: the output's safety
limits stand above it, it ends by itself, and then the rules go on. What is held by hand already is left alone.

Exits 1 if an output did not confirm, did not move, or could not be switched.`,
		Example: `  glasshouse outputs test
  glasshouse outputs test exhaust-fan heater --out outputs-2026-05-04.json`,
	}
	client := socketFlag(cmd)
	cmd.Flags().DurationVar(&t.hold, "for", 10*time.Second, "how long each is switched, 1s to 1m")
	cmd.Flags().BoolVar(&yes, "yes", false, "ask nothing, for scripts; then nobody but the device confirms")
	cmd.Flags().StringVar(&record, "out", "", "write the record, as JSON, into this new file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the record as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if t.hold < time.Second || t.hold > time.Minute {
			return usageError{errors.New("--for: want 1s to 1m")}
		}
		t.door, t.by, t.say = client(), operator(), cmd.ErrOrStderr()
		if !yes {
			t.answers = lines(cmd.InOrStdin())
		}
		return testOutputs(cmd, &t, args, record, asJSON)
	}
	return cmd
}

// testOutputs runs the trial and shows what came of it, also when it was broken off.
func testOutputs(cmd *cobra.Command, t *trial, names []string, record string, asJSON bool) error {
	status, err := t.door.Status(cmd.Context())
	if err != nil {
		return err
	}
	if names, err = chosen(status, names); err != nil {
		return err
	}
	var file *os.File
	if record != "" { // before anything is switched: a record that cannot be kept is no record
		if file, err = os.OpenFile(record, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already, and a record is kept: name a new file with --out", record)
		} else if err != nil {
			return err
		}
	}
	result := outputsRecord{Gateway: status.Gateway, Version: status.Version, By: t.by, Began: status.Now}
	for _, name := range names {
		if cmd.Context().Err() != nil {
			break
		}
		result.Outputs = append(result.Outputs, t.try(cmd.Context(), name))
	}
	if file != nil {
		err = errors.Join(printJSON(file, result), file.Sync(), file.Close())
	}
	if asJSON {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), result))
	} else {
		err = errors.Join(err, result.print(cmd.OutOrStdout()))
	}
	switch {
	case err != nil:
		return err
	case cmd.Context().Err() != nil:
		return errors.New("broken off")
	case slices.ContainsFunc(result.Outputs, outputTrial.failed):
		return errSaid
	}
	return nil
}

// chosen are the outputs to try: those that are named, else all.
func chosen(status api.Status, names []string) ([]string, error) {
	var all []string
	for i := range status.Outputs {
		all = append(all, status.Outputs[i].Name)
	}
	switch {
	case status.Mode != string(configs.Control):
		return nil, fmt.Errorf("the gateway runs in mode %s and switches nothing", status.Mode)
	case len(all) == 0:
		return nil, errors.New("the gateway has no outputs")
	case len(names) == 0:
		return all, nil
	}
	for _, name := range names {
		if slices.Contains(all, name) {
			continue
		}
		if near := configs.Nearest(name, all); near != "" {
			return nil, fmt.Errorf("no output is called %q (did you mean %q?)", name, near)
		}
		return nil, fmt.Errorf("no output is called %q (there are %s)", name, strings.Join(all, ", "))
	}
	return names, nil
}

// outputsRecord is what a trial came to.
type outputsRecord struct {
	Gateway string        `json:"gateway"`
	Version string        `json:"version"`
	By      string        `json:"by"` // who stood there, as the system knows them
	Began   time.Time     `json:"began"`
	Outputs []outputTrial `json:"outputs"`
}

// outputTrial is what came of one output.
type outputTrial struct {
	Output  string    `json:"output"`
	Zone    string    `json:"zone"`
	Point   string    `json:"point"`
	At      time.Time `json:"at"`
	From    float64   `json:"from"`
	To      float64   `json:"to"`
	Device  string    `json:"device"`            // confirmed, not confirmed, or empty: it was not switched
	Seconds float64   `json:"seconds,omitempty"` // from asking the gateway to the device's confirmation, as seen from here
	Person  string    `json:"person"`            // moved, did not move, or empty: nobody was asked
	Skipped bool      `json:"skipped,omitempty"` // not tried, and nothing is wrong
	Note    string    `json:"note,omitempty"`
}

// What the device and a person say.
const (
	confirmed    = "confirmed"
	notConfirmed = "not confirmed"
	moved        = "moved"
	notMoved     = "did not move"
)

func (o outputTrial) failed() bool {
	return !o.Skipped && (o.Device != confirmed || o.Person == notMoved)
}

// print shows the table.
func (r *outputsRecord) print(w io.Writer) error {
	page := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(page, "OUTPUT\tZONE\tPOINT\tSWITCHED\tTHE DEVICE SAYS\tYOU SAY\tNOTE")
	for _, o := range r.Outputs {
		switched, device := "-", orDash(o.Device)
		if o.Device != "" {
			switched = onOff(o.From) + " to " + onOff(o.To)
		}
		if o.Device == confirmed {
			device = fmt.Sprintf("%s in %.1f s", confirmed, o.Seconds)
		}
		fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Output, o.Zone, o.Point, switched, device, orDash(o.Person), o.Note)
	}
	return page.Flush()
}

func onOff(v float64) string { return state(&v, "", true) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lines reads lines until the input ends, so that waiting for an answer can be broken off.
func lines(r io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			out <- scanner.Text()
		}
	}()
	return out
}

// ask asks a question; anything but y or yes means no, as does the end of the input.
func (t *trial) ask(ctx context.Context, format string, args ...any) bool {
	fmt.Fprintf(t.say, format+" [y/N] ", args...)
	select {
	case answer, ok := <-t.answers:
		if !ok {
			fmt.Fprintln(t.say)
		}
		answer = strings.ToLower(strings.TrimSpace(answer))
		return answer == "y" || answer == "yes"
	case <-ctx.Done():
		fmt.Fprintln(t.say)
		return false
	}
}
