// Package api is the gateway's local door: plain HTTP over a unix socket, JSON both ways. It holds no state and decides
// nothing; what it tells comes from a Source. Who may open the socket may ask: its permissions are the log-in.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Source is the running gateway. Its methods are called from many goroutines and must not wait for a bus or the disk.
type Source interface {
	Status() Status
	// Metrics writes the Prometheus text format.
	Metrics(w io.Writer) error
	// Submit hands over a wish for an output and waits for the cycle that decides it.
	Submit(ctx context.Context, w Write) (Receipt, error)
}

// Write is a person's wish for an output.
type Write struct {
	Output  string        `json:"output"`            // its name: "exhaust-fan"
	Value   float64       `json:"value"`             // absolute; 0 and 1 for a switch. Without meaning when Release is set
	For     time.Duration `json:"forNanoseconds"`    // how long; > 0 unless Release is set
	Release bool          `json:"release,omitempty"` // ends the hold on this output
	By      string        `json:"by"`                // who, for the record
	Reason  string        `json:"reason"`
}

// Receipt is the cycle's answer to a Write.
type Receipt struct {
	Accepted bool       `json:"accepted"`
	Until    *time.Time `json:"until,omitempty"`
	Note     string     `json:"note,omitempty"` // why not, or what holds the output against it
	Durable  bool       `json:"durable"`        // false: the disk is away, the wish would not outlive a restart
}

// Server answers on a unix socket.
type Server struct {
	path string
	http *http.Server
	log  *slog.Logger
}

// NewServer makes a server for the socket at path. It does no I/O.
func NewServer(path string, source Source, log *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, source.Status()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { metrics(w, source) })
	mux.HandleFunc("POST /v1/outputs", func(w http.ResponseWriter, r *http.Request) { submit(w, r, source) })
	return &Server{
		path: path,
		log:  log,
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10},
	}
}

// Serve opens the socket and answers until ctx ends, then closes and removes it. A socket that a dead gateway left is
// replaced; one that answers is an error.
func (s *Server) Serve(ctx context.Context) error {
	listener, err := s.listen()
	if err != nil {
		return err
	}
	s.log.Info("api listening", "socket", s.path)
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("api socket %s: %w", s.path, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.http.Shutdown(grace); err != nil {
		err = errors.Join(err, s.http.Close())
		s.log.Warn("api closed with requests open", "error", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api socket %s: %w", s.path, err)
	}
	return nil
}

// listen opens the socket so that only its owner and group can use it.
func (s *Server) listen() (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o750); err != nil {
		return nil, fmt.Errorf("api socket %s: %w", s.path, err)
	}
	if conn, err := net.DialTimeout("unix", s.path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("api socket %s: another gateway answers there; stop it first", s.path)
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("api socket %s: remove what a dead gateway left: %w", s.path, err)
	}
	listener, err := net.Listen("unix", s.path)
	if err != nil {
		return nil, fmt.Errorf("api socket %s: %w", s.path, err)
	}
	if err := os.Chmod(s.path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("api socket %s: %w", s.path, err), listener.Close())
	}
	return listener, nil
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody is left to tell
}

func metrics(w http.ResponseWriter, source Source) {
	var page bytes.Buffer
	if err := source.Metrics(&page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = page.WriteTo(w)
}

// problem is the body of a refusal.
type problem struct {
	Message string `json:"message"`
}

func submit(w http.ResponseWriter, r *http.Request, source Source) {
	var wish Write
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wish); err != nil {
		answer(w, http.StatusBadRequest, problem{"body: " + err.Error()})
		return
	}
	receipt, err := source.Submit(r.Context(), wish)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, problem{err.Error()})
		return
	}
	answer(w, http.StatusOK, receipt)
}

// ErrNotRunning is returned when nobody answers at the socket.
var ErrNotRunning = errors.New("the gateway is not running")

// Client asks a running gateway.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client of the socket at path; nothing is opened before the first call.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks for everything. The error is ErrNotRunning when nobody answers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Submit hands over a wish for an output.
func (c *Client) Submit(ctx context.Context, w Write) (Receipt, error) {
	var r Receipt
	err := c.call(ctx, http.MethodPost, "/v1/outputs", w, &r)
	return r, err
}

// call sends in as JSON, unless it is nil, and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://glasshouse"+path, body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w (nobody answers at %s)", ErrNotRunning, c.path)
		}
		return fmt.Errorf("ask the gateway at %s: %w", c.path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var p problem
		if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&p) != nil || p.Message == "" {
			p.Message = response.Status
		}
		return errors.New(p.Message)
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("the gateway's answer at %s: %w", c.path, err)
	}
	return nil
}
