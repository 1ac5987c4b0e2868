// Package lab builds a region on one machine: zones and hosts as namespaces,
// with a router between them, an agent on every host, a control server in
// every zone, and whatever workloads a lab file asks for.
//
// Nothing of the machine changes: no interface, route or file outside the
// lab's own folder and cgroup. Everything lives under one process, the holder,
// and the kernel ends it all when the holder dies; what is left then, files
// and empty cgroups, is removed by Sweep.
package lab
