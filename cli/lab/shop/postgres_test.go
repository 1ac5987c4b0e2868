package shop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// message is one of the server's.
func message(kind byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

// fakePostgres takes one session: it answers the greeting, and one query.
func fakePostgres(t *testing.T, greeting, answer []byte) (address string, heard chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard = make(chan string, 1)
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		_, _ = c.Read(buf)
		_, _ = c.Write(greeting)
		n, _ := c.Read(buf)
		heard <- string(buf[:n])
		_, _ = c.Write(answer)
	}()
	return l.Addr().String(), heard
}

func TestAWriteIsWhatTheServerSays(t *testing.T) {
	ready := message('Z', "I")
	trust := append(message('R', "\x00\x00\x00\x00"), ready...)
	standby := append(message('E', "SERROR\x00C25006\x00Mcannot execute INSERT in a read-only transaction\x00\x00"), ready...)
	for name, c := range map[string]struct {
		greeting, answer []byte
		asked, refused   bool
		err              string
	}{
		"acknowledged":        {trust, append(message('C', "INSERT 0 1\x00"), ready...), true, false, ""},
		"by a standby":        {trust, standby, true, true, "25006 cannot execute INSERT"},
		"hung up upon":        {trust, nil, true, false, "EOF"},
		"with a password":     {message('R', "\x00\x00\x00\x0a"), nil, false, false, "wants a password"},
		"not by a PostgreSQL": {[]byte("HTTP/1.1 400 Bad Request\r\n"), nil, false, false, "no length"},
	} {
		t.Run(name, func(t *testing.T) {
			address, heard := fakePostgres(t, c.greeting, c.answer)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := insertRow(ctx, address, "book/1")
			if errors.Is(err, errRefused) != c.refused || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("it ends with %v", err)
			}
			if q := <-heard; c.asked && !strings.Contains(q, "VALUES ('book/1', '"+address+"'") {
				t.Errorf("the server heard %q", q)
			}
		})
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(message('E', "SERROR\x00C25006\x00Mno\x00\x00"))
	f.Add([]byte("HTTP/1.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, body, err := readMessage(bytes.NewReader(b))
		if err == nil && len(body) > len(b) {
			t.Errorf("%d bytes out of %d", len(body), len(b))
		}
		errorText(body)
	})
}
