package shop

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// postgres is a session of PostgreSQL's protocol, version 3, where the server
// trusts whoever comes: all that the lab's writer needs of a driver.
type postgres struct {
	conn net.Conn
	in   *bufio.Reader
}

// errRefused says that the server has answered with an error: nothing was written.
var errRefused = errors.New("refused")

// maxMessage bounds a message of the server.
const maxMessage = 1 << 20

// openPostgres opens a session, or fails by ctx's end.
func openPostgres(ctx context.Context, address string) (*postgres, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &postgres{conn: conn, in: bufio.NewReader(conn)}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	if err == nil {
		err = s.greet()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *postgres) close() {
	_ = s.send('X', nil) // it is told, or finds out
	s.conn.Close()
}

// greet says who comes, and waits until the server takes a query.
func (s *postgres) greet() error {
	const version = 3 << 16
	body := binary.BigEndian.AppendUint32(nil, version)
	for _, word := range []string{"user", "postgres", "database", "postgres", "application_name", "writer", ""} {
		body = append(append(body, word...), 0)
	}
	if err := s.write(nil, body); err != nil {
		return err
	}
	return s.untilReady()
}

// run runs one statement. errRefused is the server's own word that it came to nothing.
func (s *postgres) run(statement string) error {
	if err := s.send('Q', append([]byte(statement), 0)); err != nil {
		return err
	}
	return s.untilReady()
}

func (s *postgres) send(kind byte, body []byte) error { return s.write([]byte{kind}, body) }

func (s *postgres) write(kind, body []byte) error {
	message := binary.BigEndian.AppendUint32(kind, uint32(len(body)+4))
	_, err := s.conn.Write(append(message, body...))
	return err
}

// untilReady reads on until the server takes the next query.
func (s *postgres) untilReady() (refused error) {
	for {
		kind, body, err := readMessage(s.in)
		switch {
		case err != nil:
			return errors.Join(refused, err)
		case kind == 'E':
			refused = fmt.Errorf("%w: %s", errRefused, errorText(body))
		case kind == 'R' && (len(body) < 4 || binary.BigEndian.Uint32(body) != 0):
			return errors.New("the server wants a password")
		case kind == 'Z':
			return refused
		}
	}
}

// readMessage reads one message of a server: its kind, and what is in it.
func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return 0, nil, fmt.Errorf("read message: %d bytes are no length of one", size)
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}

// errorText is the code and the message of an error: fields, each a letter and a
// text that ends with a zero.
func errorText(body []byte) string {
	var code, message string
	for field := range strings.SplitSeq(string(body), "\x00") {
		if rest, ok := strings.CutPrefix(field, "C"); ok {
			code = rest
		} else if rest, ok := strings.CutPrefix(field, "M"); ok {
			message = rest
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(code+" "+message), "?")
}

// insertRow writes one row through a member, in a session of its own. Where it
// fails without errRefused, nobody knows whether the row was written.
func insertRow(ctx context.Context, member, key string) error {
	s, err := openPostgres(ctx, member)
	if err != nil {
		return err
	}
	defer s.close()
	// A repeat is a write of its own, so that it waits for a standby like the first.
	return s.run(fmt.Sprintf("INSERT INTO writes (key, member, asked) VALUES ('%s', '%s', %d) "+
		"ON CONFLICT (key) DO UPDATE SET times = writes.times + 1", key, member, time.Now().UnixNano()))
}

// makeTable makes the table through whichever member can write.
func makeTable(ctx context.Context, members []string) error {
	for ctx.Err() == nil {
		for _, member := range members {
			if makeTableAt(ctx, member) == nil {
				return nil
			}
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

func makeTableAt(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := openPostgres(ctx, member)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run("CREATE TABLE IF NOT EXISTS writes (key text PRIMARY KEY, member text, asked bigint, times int DEFAULT 1)")
}
