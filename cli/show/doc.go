// Package show draws what people look at: it turns messages into text of a
// given width, with or without colour.
//
// Nothing here asks a server, reads a setting or knows a terminal, so that a
// picture is a function of a message and its width. Colour never stands alone:
// what it says, a sign and a word say too.
package show
