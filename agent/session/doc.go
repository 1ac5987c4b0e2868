// Package session keeps a host in touch with the control plane: one stream in
// use and one standing by, orders and leases in, reports and windows out, and
// cluster time as it is measured on the way.
package session
