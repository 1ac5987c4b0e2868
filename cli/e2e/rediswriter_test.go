package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// redisWriter plays the client of a Redis under Sentinel: what asks it for a
// write gets one new key, through whom a Sentinel names as the primary. It prints
// what became of each.
type redisWriter struct {
	sentinels []string
	// answered is the index of the Sentinel that named the primary last. It is
	// asked first, as Redis' guide for clients demands: one that is back from the
	// dark names the old primary until the others tell it better.
	answered atomic.Int64
	// book is the open one's name, or nil.
	book   atomic.Pointer[string]
	number atomic.Int64
}

const (
	// redisPatience is how long one write is tried.
	redisPatience = time.Second
	// redisAnswer is how long one answer may take.
	redisAnswer = 300 * time.Millisecond
)

func playRedisWriter(sentinels []string) int {
	w := &redisWriter{sentinels: sentinels}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PUT /books/{name}", func(_ http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		w.book.Store(&name)
	})
	mux.HandleFunc("DELETE /books/{name}", func(http.ResponseWriter, *http.Request) { w.book.Store(nil) })
	mux.HandleFunc("POST /write", w.ask)
	server := &http.Server{Addr: ":9000", Handler: mux, ReadHeaderTimeout: time.Second}
	fmt.Println(server.ListenAndServe())
	return failed
}

// ask writes one key: 200 when it was acknowledged, 503 when not, 409 when the
// book that was meant is closed.
func (w *redisWriter) ask(out http.ResponseWriter, r *http.Request) {
	book := "asked"
	if name := r.URL.Query().Get("book"); name != "" {
		if open := w.book.Load(); open == nil || *open != name {
			out.WriteHeader(http.StatusConflict)
			return
		}
		book = name
	}
	key, asked := fmt.Sprint(book, "/", w.number.Add(1)), time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), redisPatience)
	defer cancel()
	what := "acknowledged"
	for w.write(ctx, key) != nil {
		time.Sleep(10 * time.Millisecond)
		if ctx.Err() != nil {
			what = "unknown"
			out.WriteHeader(http.StatusServiceUnavailable)
			break
		}
	}
	fmt.Println(what, key, asked.UnixNano(), time.Now().UnixNano())
}

// write is good when the primary and one replica have the key.
func (w *redisWriter) write(ctx context.Context, key string) error {
	primary, err := w.primary(ctx)
	if err != nil {
		return err
	}
	c, err := dialRedis(ctx, primary)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.do("SET", key, primary); err != nil {
		return err
	}
	confirmed, err := c.do("WAIT", "1", strconv.FormatInt(redisAnswer.Milliseconds()/2, 10))
	if err == nil && confirmed[0] == "0" {
		err = errors.New("no replica has it")
	}
	return err
}

// primary is the address that a Sentinel which answers names.
func (w *redisWriter) primary(ctx context.Context) (address string, err error) {
	first := int(w.answered.Load())
	for i := range w.sentinels {
		i = (first + i) % len(w.sentinels)
		c, dialErr := dialRedis(ctx, w.sentinels[i]+":26379")
		if dialErr != nil {
			err = dialErr
			continue
		}
		words, askErr := c.do("SENTINEL", "get-master-addr-by-name", "shop")
		c.Close()
		if askErr == nil && len(words) == 2 {
			w.answered.Store(int64(i))
			return net.JoinHostPort(words[0], words[1]), nil
		}
		err = errors.Join(askErr, errors.New("no primary is named"))
	}
	return "", err
}

// redisConn speaks Redis' protocol, as much as the writer needs.
type redisConn struct {
	net.Conn
	in *bufio.Reader
}

func dialRedis(ctx context.Context, address string) (*redisConn, error) {
	conn, err := (&net.Dialer{Timeout: redisAnswer}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &redisConn{conn, bufio.NewReader(conn)}, nil
}

// do runs one command; the answer is one word, or as many as a list has.
func (c *redisConn) do(words ...string) ([]string, error) {
	if err := c.SetDeadline(time.Now().Add(redisAnswer)); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(c.Conn, b.String()); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *redisConn) answer() ([]string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '+', ':':
		return []string{rest}, nil
	case '$':
		if rest == "-1" {
			return nil, nil
		}
		text, err := c.in.ReadString('\n')
		return []string{strings.TrimSpace(text)}, err
	case '*':
		return c.list(rest)
	}
	return nil, fmt.Errorf("redis says %q", line)
}

func (c *redisConn) list(count string) (words []string, err error) {
	n, err := strconv.Atoi(count)
	for range n {
		word, wordErr := c.answer()
		words, err = append(words, word...), errors.Join(err, wordErr)
	}
	return words, err
}
