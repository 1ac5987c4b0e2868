package page

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
)

// Errors of tokens, as they are told behind the token.
var (
	errDamaged   = errors.New("is none that a server gave out")
	errOtherList = errors.New("is that of another list")
)

// mostToken is how long a token may be, in bytes; the longest key has a third.
const mostToken = 1 << 10

// encoding refuses what it would not have written itself.
var encoding = base64.RawURLEncoding.Strict()

// token names a key of a list: a checksum, the list, a zero byte, the key.
func token(list, key string) string {
	text := list + "\x00" + key
	return encoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))), text...))
}

// parse is the key that a token names.
func parse(list, token string) (key string, err error) {
	if len(token) > mostToken || strings.ContainsAny(token, "\r\n") { // which the decoder would skip
		return "", errDamaged
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) < crc32.Size {
		return "", errDamaged
	}
	sum, text := binary.BigEndian.Uint32(raw), raw[crc32.Size:]
	of, key, ok := strings.Cut(string(text), "\x00")
	switch {
	case !ok || sum != crc32.ChecksumIEEE(text):
		return "", errDamaged
	case of != list:
		return "", errOtherList
	}
	return key, nil
}
